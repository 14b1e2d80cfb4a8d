//! What is applied to sums: bounds by the loops that store them, everything else by a pass over what they stored, while
//! it is still in the cache.

use super::microkernels::{Clamp, Isa};
use crate::graph::Activation;

/// An activation, cut into what is done before and after the sums are stored.
#[derive(Clone, Copy)]
pub struct Activated {
    /// The bounds of what is stored.
    pub clamp: Clamp,
    /// What is left to do.
    after: Option<Activation>,
}

impl Activated {
    pub fn by(activation: Activation) -> Activated {
        let bound = |low, high| Activated { clamp: Clamp { low, high }, after: None };
        match activation {
            Activation::None => Activated { clamp: Clamp::NONE, after: None },
            Activation::Relu => bound(0.0, f32::INFINITY),
            Activation::Relu6 => bound(0.0, 6.0),
            Activation::HardSwish
            | Activation::HardSigmoid
            | Activation::Sigmoid
            | Activation::Silu
            | Activation::Gelu
            | Activation::GeluTanh
            | Activation::Mish => Activated { clamp: Clamp::NONE, after: Some(activation) },
        }
    }

    /// Activates `values`, which were stored within the bounds, in place.
    #[inline(always)]
    pub fn finish(&self, isa: Isa, values: &mut [f32]) {
        if let Some(after) = self.after {
            apply(isa, after, values);
        }
    }
}

/// `act` of each of `values`, in place; a loop for each activation, so that each can be made of vectors.
fn apply(isa: Isa, activation: Activation, values: &mut [f32]) {
    const SIX: Clamp = Clamp { low: 0.0, high: 6.0 };
    isa.compiled(
        #[inline(always)]
        || match activation {
            Activation::None => {}
            Activation::Relu => each(values, |x| Clamp { low: 0.0, high: f32::INFINITY }.of(x)),
            Activation::Relu6 => each(values, |x| SIX.of(x)),
            Activation::HardSwish => each(values, |x| x * SIX.of(x + 3.0) * (1.0 / 6.0)),
            Activation::HardSigmoid => each(values, |x| SIX.of(x + 3.0) * (1.0 / 6.0)),
            Activation::Sigmoid => each(values, |x| 1.0 / (1.0 + exp(-x))),
            Activation::Silu => each(values, |x| x / (1.0 + exp(-x))),
            Activation::Gelu => each(values, |x| x * normal(x)),
            Activation::GeluTanh => {
                each(values, |x| x / (1.0 + exp(-1.595_769_2 * x * (1.0 + 0.044_715 * x * x))));
            }
            // Of the exponential alone; from 20 on it is x in f32, and would be inf / inf far above.
            Activation::Mish => each(values, |x| {
                let e = exp(Clamp { low: f32::NEG_INFINITY, high: 20.0 }.of(x));
                let n = e * (e + 2.0);
                x * (n / (n + 2.0))
            }),
        },
    );
}

#[inline(always)]
fn each(values: &mut [f32], act: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|x| *x = act(*x));
}

/// `exp` of each of `values`, in place; vectors where they are many.
#[inline(always)]
pub fn exponentials(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = exp(*x));
}

/// `exp(x)` to 2e-7 of it, NaN kept. It has no branches, so that a loop over it becomes one over vectors.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    exp_of_sum(x, 0.0)
}

/// `exp(a + b)` of a `b` between -2 and 2, as exact as if the sum were not rounded.
#[inline(always)]
fn exp_of_sum(a: f32, b: f32) -> f32 {
    // `exp(r) * 2^n`, where `r` is what `n` times log(2), in two parts, leaves. Beyond the bounds it is 0 and inf.
    const BOUNDS: Clamp = Clamp { low: -106.0, high: 91.0 };
    const LOG2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Added to a small number, it leaves the whole part in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    let a = BOUNDS.of(a);
    let shifted = (a + b) * std::f32::consts::LOG2_E + WHOLE;
    let n = (shifted.to_bits() as i32).wrapping_sub(WHOLE.to_bits() as i32);
    let whole = shifted - WHOLE;
    let r = a - whole * LOG2[0] + (b - whole * LOG2[1]);
    let p = 1.398_199_9e-3 + r * 1.987_569_1e-4;
    let p = 0.5 + r * (1.666_666_6e-1 + r * (4.166_579_6e-2 + r * (8.333_452e-3 + r * p)));
    // In two steps, since neither the largest nor the smallest power fits the exponent of one number.
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    (p * r * r + r + 1.0) * power(n >> 1) * power(n.wrapping_sub(n >> 1))
}

/// `erfc(-x / sqrt(2)) / 2`, the share of a normal distribution below `x`, to 3e-7 of it, of negative `x` too.
#[inline(always)]
fn normal(x: f32) -> f32 {
    // Of `z` not below zero, `erfc(z) = t * exp(p - z * z)`: a Chebyshev fit of `log(erfc(z) / t) + z * z` in `t`, to
    // 1.2e-7. Beyond the bound it is 0.
    let y = Clamp { low: 0.0, high: 16.0 }.of(x.abs());
    let t = 1.0 / (1.0 + y * (0.5 * std::f32::consts::FRAC_1_SQRT_2));
    let p = -1.135_204 + t * (1.488_515_9 + t * (-0.822_152_26 + t * 0.170_872_76));
    let p = 0.096_784_18 + t * (-0.186_288_06 + t * (0.278_868_08 + t * p));
    let p = -1.265_512_2 + t * (1.000_023_7 + t * (0.374_091_95 + t * p));
    // `z * z = y * y / 2` in two parts, the square of the upper half of the digits and what is missing: rounded to one
    // number, it would be wrong by as much as the exponential is relatively.
    let upper = f32::from_bits(y.to_bits() & 0xffff_f000);
    let rest = (y - upper) * (y + upper);
    let erfc = t * exp_of_sum(-0.5 * upper * upper, p - 0.5 * rest);
    0.5 * if x > 0.0 { 2.0 - erfc } else { erfc }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agree_with_f64() {
        let mut values: Vec<f32> = (-4000..4000).map(|i| i as f32 * 0.005_123).collect();
        values.extend((-400..400).map(|i| i as f32 * 0.517));
        values.extend((-120..120).map(|i| 2f32.powi(i)).flat_map(|x| [x, -x]));
        values.extend([0.0, -0.0, f32::INFINITY]);
        for (isa, activation) in Isa::all().into_iter().flat_map(|isa| Activation::ALL.map(|act| (isa, act)))
        {
            let name = format!("{} {activation:?}", isa.name());
            let mut found = values.clone();
            apply(isa, activation, &mut found);
            let expected = |x: f32| activation.apply(f64::from(x));
            let mut worst = (0.0, 0.0);
            for (&x, &a) in values.iter().zip(&found) {
                let b = expected(x);
                if b.is_infinite() || b == 0.0 {
                    assert_eq!(f64::from(a), b, "{name} of {x}");
                    continue;
                }
                // What is next to nothing may become 0.
                let error = (f64::from(a) - b).abs() / b.abs().max(1e-30);
                worst = if error > worst.0 { (error, x) } else { worst };
            }
            // The exponent of the exponential is rounded, by more where it is large.
            let bound = match activation {
                Activation::Sigmoid | Activation::Silu => 5e-7,
                Activation::GeluTanh => 2e-5,
                _ => 4e-7,
            };
            assert!(worst.0 <= bound, "{name}: {worst:?}");
            let mut nan = [f32::NAN; 19];
            apply(isa, activation, &mut nan);
            assert!(nan.iter().all(|x| x.is_nan()), "{name}");
            // The loop's rest is computed as its vectors are.
            let mut one = values[7..8].to_vec();
            apply(isa, activation, &mut one);
            assert_eq!(one[0].to_bits(), found[7].to_bits(), "{name}");
        }
    }

    #[test]
    fn exponentials() {
        let steps = (-10_400..8_870).map(|i| i as f32 * 0.01);
        for x in steps {
            let (a, b) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((a - b).abs() <= 2e-7 * b + 2e-45, "{x}: {a:e}, expected {b:e}");
        }
        for (x, expected) in [(f32::INFINITY, f32::INFINITY), (f32::NEG_INFINITY, 0.0), (1e9, f32::INFINITY)]
        {
            assert_eq!(exp(x), expected, "{x}");
        }
        assert!(exp(f32::NAN).is_nan());
    }
}
