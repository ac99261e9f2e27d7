"""The selective scan and the causal convolution: reference, compiled, on a GPU.

What a model needs of them, whatever computes it:

    selective_scan, selective_scan_both    one direction, or two at once
    causal_conv                            the short convolution before a scan
    fused_mixer                            all between a mixer's two projections
"""

from .fused import Direction, fused_mixer, is_plain, is_plain_depthwise
from .operators import causal_conv, selective_scan, selective_scan_both

__all__ = [
    'Direction',
    'causal_conv',
    'fused_mixer',
    'is_plain',
    'is_plain_depthwise',
    'selective_scan',
    'selective_scan_both',
]
