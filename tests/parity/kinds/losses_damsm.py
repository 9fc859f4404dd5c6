"""AttnGAN's losses and their gradients, on stub networks that the case describes."""

from collections.abc import Callable

import torch
from torch import Tensor

from gan.attngan.discriminators import Logits
from losses import attngan_discriminator, attngan_generator, condition_divergence, matching_losses
from models.word_region_similarity import attention, region_context, sentence_scores, word_scores
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


class Stub:
    """A discriminator of matrices, as the case describes it.

    Args:
        case: has ``stub_d<number>_*``.
        number: of the discriminator.
        unconditional: with the logit without a sentence.
    """

    def __init__(self, case: Case, number: int, unconditional: bool = True) -> None:
        self.feat, self.features_part, self.sentence_part, self.unc = (
            case.tensor(f"stub_d{number}_{name}") for name in ("feat", "cond_f", "cond_c", "unc")
        )
        self.unconditional = unconditional

    def __call__(self, images: Tensor) -> Tensor:
        """Features of images."""
        return images.flatten(1) @ self.feat

    def logits(self, features: Tensor, sentences: Tensor) -> Logits:
        """Logits with sentences, and alone."""
        fitting = features @ self.features_part + sentences @ self.sentence_part
        return Logits(fitting, features @ self.unc if self.unconditional else None)


def leaf(case: Case, name: str) -> Tensor:
    """An input whose gradient is wanted."""
    return case.tensor(name).requires_grad_()


def gradients(loss: Tensor, by_name: dict[str, Tensor]) -> Arrays:
    """Gradients of a loss by the names of the outputs."""
    found = torch.autograd.grad(loss, list(by_name.values()))
    return {name: value.numpy() for name, value in zip(by_name, found, strict=True)}


def groups(case: Case) -> Groups:
    """Attention, matching with and without classes, the divergence, both sides of the game."""
    gammas = [case.hyper[f"GAMMA{number}"] for number in (1, 2, 3)]

    def context_of_words() -> Arrays:
        words, regions = leaf(case, "words_emb"), leaf(case, "img_features")
        context, weights = region_context(words, regions, gammas[0])
        by_name = {"func_attention_grad_query": words, "func_attention_grad_context": regions}
        return gradients((context.transpose(1, 2) * case.tensor("probe_context")).sum(), by_name) | {
            "func_attention_context": context.transpose(1, 2).detach().numpy(),
            "func_attention_attn": weights.detach().numpy(),
        }

    def matching(ending: str, classes: Tensor | None) -> Arrays:
        words, regions = leaf(case, "words_emb"), leaf(case, "img_features")
        lengths = case.tensor("cap_lens")
        both = matching_losses(word_scores(words, lengths, regions, *gammas[:2]), 1 / gammas[2], classes)
        found = {f"words_loss{number}{ending}": loss.detach().numpy() for number, loss in enumerate(both)}
        found |= gradients(sum(both), {f"words_grad_words{ending}": words, f"words_grad_img{ending}": regions})
        found["words_att_maps"] = attention(words, lengths, regions, gammas[0]).detach().numpy()
        sentences, images = leaf(case, "sent_emb"), leaf(case, "cnn_code")
        both = matching_losses(sentence_scores(sentences, images), 1 / gammas[2], classes)
        found |= {f"sent_loss{number}{ending}": loss.detach().numpy() for number, loss in enumerate(both)}
        by_name = {f"sent_grad_sent{ending}": sentences, f"sent_grad_cnn{ending}": images}
        return found | gradients(sum(both), by_name)

    def divergence() -> Arrays:
        mean, log_variance = leaf(case, "mu"), leaf(case, "logvar")
        loss = condition_divergence(mean, log_variance)
        by_name = {"kl_grad_mu": mean, "kl_grad_logvar": log_variance}
        return {"kl_loss": loss.detach().numpy()} | gradients(loss, by_name)

    def critic(ending: str, unconditional: bool) -> Arrays:
        real, sentences = leaf(case, "real_imgs0"), leaf(case, "sent_emb")
        stub = Stub(case, 0, unconditional)
        features = stub(real)
        message, made = stub.logits(features, sentences), stub.logits(stub(case.tensor("fake_imgs0")), sentences)
        wrong = stub.logits(features[:-1], sentences[1:]).fitting
        loss = attngan_discriminator(message.fitting, made.fitting, wrong, message.alone, made.alone)
        by_name = {f"d_grad_real{ending}": real, f"d_grad_sent{ending}": sentences}
        return {f"d_loss{ending}": loss.detach().numpy()} | gradients(loss, by_name)

    def generator() -> Arrays:
        fakes = [leaf(case, f"fake_imgs{number}") for number in (0, 1)]
        words, sentences = leaf(case, "words_emb"), leaf(case, "sent_emb")
        stubs = [Stub(case, number) for number in (0, 1)]
        loss = sum(
            attngan_generator(*stub.logits(stub(fake), sentences)) for stub, fake in zip(stubs, fakes, strict=True)
        )
        regions = torch.einsum("bchw,nc->bnhw", fakes[1], case.tensor("stub_region"))
        codes = fakes[1].flatten(1) @ case.tensor("stub_code")
        scores = (
            word_scores(words, case.tensor("cap_lens"), regions, *gammas[:2]),
            sentence_scores(sentences, codes),
        )
        for one in scores:
            both = matching_losses(one, 1 / gammas[2], case.tensor("class_ids"))
            loss = loss + case.hyper["LAMBDA"] * sum(both)
        by_name = {"g_grad_fake0": fakes[0], "g_grad_fake1": fakes[1], "g_grad_words": words, "g_grad_sent": sentences}
        return {"g_loss": loss.detach().numpy()} | gradients(loss, by_name)

    made: dict[str, Callable[[], Arrays]] = {
        "attention": context_of_words,
        "matching": lambda: matching("", None),
        "matching by class": lambda: matching("_cls", case.tensor("class_ids")),
        "divergence": divergence,
        "critic": lambda: critic("", True),
        "critic with sentences alone": lambda: critic("_nouncond", False),
        "generator": generator,
    }
    return made
