"""Generators of classes, with the classes' names, for the jobs of system 4."""

from torch import nn

from tasks.gan.class_networks import GeneratorSource, load_class_generator, settle


def class_generator(source: GeneratorSource) -> nn.Module:
    """Load a generator that takes latents and classes, which the jobs then know by their names.

    Args:
        source: one that comes with the project, a run of ``gan/r3gan_world.yaml`` and the like, or published weights.

    Raises:
        UserError: there is none, or a file is damaged.
    """
    trained = load_class_generator(source)
    settle(trained.network)
    if trained.class_names:
        trained.network.class_names = list(trained.class_names)
    return trained.network.eval()
