//! What is applied to each value as it is written.

/// A function of one value. A new one has three homes: here, `kernels/activation.rs` and `cpu/activation.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`, NaN kept.
    Relu,
    /// `min(max(x, 0), 6)`, NaN kept.
    Relu6,
    /// `x * hard_sigmoid(x)`.
    HardSwish,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `x * (1 + erf(x / sqrt(2))) / 2`.
    Gelu,
    /// The same by `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2`, as some networks have it.
    GeluTanh,
    /// `x * tanh(log(1 + exp(x)))`.
    Mish,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 10] = [
        Activation::None,
        Activation::Relu,
        Activation::Relu6,
        Activation::HardSwish,
        Activation::HardSigmoid,
        Activation::Sigmoid,
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Mish,
    ];

    /// The activation of one value.
    pub fn apply(self, x: f64) -> f64 {
        // Comparisons, and not `max` and `min`, keep NaN.
        let clamp = |x: f64, low: f64, high: f64| {
            if x < low {
                low
            } else if x > high {
                high
            } else {
                x
            }
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match self {
            Activation::None => x,
            Activation::Relu => clamp(x, 0.0, f64::INFINITY),
            Activation::Relu6 => clamp(x, 0.0, 6.0),
            Activation::HardSwish => x * clamp(x + 3.0, 0.0, 6.0) / 6.0,
            Activation::HardSigmoid => clamp(x + 3.0, 0.0, 6.0) / 6.0,
            Activation::Sigmoid => sigmoid(x),
            Activation::Silu => x * sigmoid(x),
            // `erfc`, and not `1 + erf`, which would lose the digits of what is far below zero.
            Activation::Gelu => x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0,
            // As `x * sigmoid(2 u)`, for the same reason.
            Activation::GeluTanh => {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                x * sigmoid(2.0 * u)
            }
            Activation::Mish => x * x.exp().ln_1p().tanh(),
        }
    }
}
