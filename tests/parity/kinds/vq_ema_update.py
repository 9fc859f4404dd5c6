"""One quantiser in training: forward, gradient, perplexity, and the averages after each update."""

import numpy as np
import torch

from models.vector_quantizer import CodebookConfig, VectorQuantizer
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups

OURS = {"_ema_w": "sums", "_ema_cluster_size": "counts", "_embedding.weight": "codebook"}


def groups(case: Case) -> Groups:
    """Run all batches; there is nothing to share out."""
    hyper = case.hyper

    def updates() -> Arrays:
        config = CodebookConfig(hyper["commitment_cost"], hyper["decay"], hyper["epsilon"])
        quantizer = VectorQuantizer(hyper["num_embeddings"], hyper["embedding_dim"], config)
        state = case.state("quantN.*")
        quantizer.load_state_dict({OURS[name]: value for name, value in state.items()}, strict=False)
        quantizer.train()
        found: Arrays = {"min_margin": np.inf}
        for number, frames in enumerate(case.tensor("inputs"), 1):
            rows = frames.clone().requires_grad_()
            near = torch.cdist(frames.double(), quantizer.codebook.double()).square().topk(2, largest=False).values
            found["min_margin"] = np.minimum(found["min_margin"], (near[:, 1] - near[:, 0]).min().numpy())
            made = quantizer(rows.T[None])
            found[f"codes_step{number}"] = made.codes[0].numpy()
            values = made.values[0].T
            if number == 1:
                (made.loss + (values * case.tensor("grad_quantized")).sum()).backward()
                found |= {"train_loss_mean": made.loss.detach().numpy(), "train_quantized": values.detach().numpy()}
                found |= {"grad_inputs": rows.grad.numpy(), "perplexity": made.perplexity.numpy()}
            found |= {f"after{number}.{name}": getattr(quantizer, ours).numpy().copy() for name, ours in OURS.items()}
        return found

    return {"updates": torch.enable_grad()(updates)}
