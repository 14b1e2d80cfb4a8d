//! The WGSL of every activation. A shader has a `fn act` of its own, ReLU as a rule, so that it is a program as it lies on
//! disk; specialising replaces it as a whole.

use crate::graph::Activation;

/// Zeroes what is below zero. By bits, from -0 to -inf: NaN passes, for it must be seen in the answer, and a comparison
/// would let compilers assume that it does not occur.
const RELU: &str =
    "    let negative = bitcast<vec4<u32>>(x) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u);
    let y = select(x, vec4<f32>(0.0), negative);
";

/// ReLU of `z`, then 6 where that is above it, up to inf, by bits again; a factor of `z` follows.
const CLAMP: &str =
    "    let negative = bitcast<vec4<u32>>(z) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u);
    let above = bitcast<vec4<u32>>(z) - vec4<u32>(0x40c00001u) <= vec4<u32>(0x3ebfffffu);
    let clamped = select(select(z, vec4<f32>(6.0), above), vec4<f32>(0.0), negative);
";

/// `erfc(z)` of `z` not below zero, to 1.2e-7 of it: a Chebyshev fit of `log(erfc(z) / t) + z * z` in `t`.
const ERFC: &str = "    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.5 * z);
    let p = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    let erfc = t * exp(p - z * z);
";

/// `fn NAME` of four values, of channels from `4 * c` on, or of one value, of channel `c`. Of `channels`, those behind the
/// last stay 0, also where the activation of 0 is none.
pub fn function(name: &str, activation: Activation, channels: usize, four: bool) -> String {
    let body: String = match activation {
        Activation::None => "    let y = x;\n".into(),
        Activation::Relu => RELU.into(),
        Activation::Relu6 => format!("    let z = x;\n{CLAMP}    let y = clamped;\n"),
        Activation::HardSwish => format!("    let z = x + 3.0;\n{CLAMP}    let y = x * clamped / 6.0;\n"),
        Activation::HardSigmoid => format!("    let z = x + 3.0;\n{CLAMP}    let y = clamped / 6.0;\n"),
        Activation::Sigmoid => "    let y = 1.0 / (1.0 + exp(-x));\n".into(),
        Activation::Silu => "    let y = x / (1.0 + exp(-x));\n".into(),
        Activation::Gelu => {
            format!("{ERFC}    let y = 0.5 * x * select(erfc, 2.0 - erfc, x > vec4<f32>(0.0));\n")
        }
        Activation::GeluTanh => {
            "    let y = x / (1.0 + exp(-1.5957691 * x * (1.0 + 0.044715 * x * x)));\n".into()
        }
        // Of the exponential alone; from 20 on it is x in f32, and would be inf / inf far above.
        Activation::Mish => "    let e = exp(min(x, vec4<f32>(20.0)));
    let n = e * (e + 2.0);
    let y = x * (n / (n + 2.0));
"
        .into(),
    };
    let whole = activation.apply(0.0) == 0.0 || channels.is_multiple_of(4);
    let result = match (whole, four) {
        (true, _) => "y".into(),
        (false, true) => format!(
            "select(vec4<f32>(0.0), y, vec4<u32>(c * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>({channels}u))"
        ),
        (false, false) => format!("select(0.0, y, c < {channels}u)"),
    };
    let body = if four { body } else { body.replace("vec4<f32>", "f32").replace("vec4<u32>", "u32") };
    let value = if four { "vec4<f32>" } else { "f32" };
    format!("fn {name}(x: {value}, c: u32) -> {value} {{\n{body}    return {result};\n}}\n")
}
