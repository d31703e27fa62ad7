"""Layers that several parts share, by kind."""

from enerv_zoo.layers.activations import ACTIVATIONS, OUTPUTS, Sine, activation, mlp, output
from enerv_zoo.layers.attention import TransformerBlock
from enerv_zoo.layers.encodings import FrequencyEncoding
from enerv_zoo.layers.interpolation import blend_others, blended, centred_places, enlarged, from_cells, to_cells
from enerv_zoo.layers.norms import NORMS, ChannelNorm, InstanceNorm, instance_norm, norm
from enerv_zoo.layers.quantisation import fake_quantised
from enerv_zoo.layers.upsampling import UPSAMPLERS, Bias, Conv, check_kernel, plain_conv, upsampler

__all__ = [
    "ACTIVATIONS",
    "NORMS",
    "OUTPUTS",
    "UPSAMPLERS",
    "Bias",
    "ChannelNorm",
    "Conv",
    "FrequencyEncoding",
    "InstanceNorm",
    "Sine",
    "TransformerBlock",
    "activation",
    "blend_others",
    "blended",
    "centred_places",
    "check_kernel",
    "enlarged",
    "fake_quantised",
    "from_cells",
    "instance_norm",
    "mlp",
    "norm",
    "output",
    "plain_conv",
    "to_cells",
    "upsampler",
]
