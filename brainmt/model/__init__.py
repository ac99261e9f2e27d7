"""The network: patch embedding, Mamba, attention, presets and checkpoints."""

from .brainmt import PRESETS, BrainMT, BrainMTConfig, load_released

__all__ = ['PRESETS', 'BrainMT', 'BrainMTConfig', 'load_released']
