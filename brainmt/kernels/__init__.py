"""The selective scan and the causal convolution: reference, compiled, on a GPU."""

from .operators import causal_conv, selective_scan

__all__ = ['causal_conv', 'selective_scan']
