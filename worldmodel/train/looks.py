"""Looks: a loss that asks whether a predicted frame shows what the right one shows, and not only where its numbers lie.

A small object that is a pixel aside has entirely other latents. Where it will be is never known so exactly, and a mean
of all the places that it might be at is a pale cloud: that is what a squared error asks for. So some predictions are
decoded and looked at through the eyes of the object detector, whose features change little when something is a pixel
aside, and much when it fades. (Perceptual losses: Johnson et al. 2016, arXiv 1603.08155; here without any pretrained
network: the detector has learnt from the recording itself.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.evaluate.detector import Detector
from inhabit.worldmodel.omni.autoencoder import Autoencoder

LEAST_SPREAD = 0.1
"""A feature that varies less than this, beside the mean of all, counts for less."""


class Looks(nn.Module):
    """Compares frames by how they look."""

    def __init__(self, autoencoder: Autoencoder, detector: Detector):
        super().__init__()
        self.autoencoder, self.detector = autoencoder, detector

    def forward(self, predicted: Tensor, right: Tensor, care: Tensor) -> Tensor:
        """How differently frames look.

        Args:
            predicted: (n, c, h, w) latents; what is learnt flows into them.
            right: (n, c, h, w) latents.
            care: (n, h, w) extra weight of each latent.

        Returns:
            A scalar; about 1 where nothing is seen of what is right.
        """
        with torch.no_grad():
            wanted = self.see(right)
        seen = self.see(predicted)
        loss = predicted.new_zeros(())
        for ours, theirs in zip(seen, wanted, strict=True):
            weight = F.adaptive_max_pool2d(care[:, None], ours.shape[-2:])
            weight = weight / weight.sum().clamp(min=1e-6)
            usual = (theirs * weight).sum((0, 2, 3), keepdim=True)
            spread = ((theirs - usual).square() * weight).sum((0, 2, 3), keepdim=True)
            # features count nearly alike: those of edges and light are a hundred times as large as those of monsters
            spread = spread + LEAST_SPREAD * spread.mean().clamp(min=1e-6)
            loss = loss + ((ours - theirs).square() / spread * weight).sum() / ours.shape[1]
        return loss / len(seen)

    def see(self, latents: Tensor) -> list[Tensor]:
        """What the detector makes of frames, averaged over 2x2 and over 4x4 of its cells."""
        pixels = self.autoencoder.decode(latents).clamp(-1.5, 1.5).contiguous(memory_format=torch.channels_last)
        features = self.detector.fine(F.pixel_unshuffle(pixels, 2)).float()
        return [F.avg_pool2d(features, 2), F.avg_pool2d(features, 4)]
