//! x
use ::mobileone::{
    models::{
        mobileone::{VARIANTS, synthetic},
        *,
    },
    *,
};
#[test]
fn stats() {
    for v in [0, 1, 4] {
        let m = Model::new(synthetic(&VARIANTS[v], 1000, 1), Form::Fused).unwrap();
        let mut s = 1u64;
        let x = (0..96 * 96 * 3)
            .map(|i| {
                s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let y = i / 3 / 96;
                let x = i / 3 % 96;
                (((y / 12 * 7 + x / 12 * 13 + i % 3) % 11) as f32) / 5.0 - 1.0
                    + (s >> 40) as f32 / (1 << 24) as f32
                    - 0.5
            })
            .collect();
        let out = reference::run(&m.graph, &m.weights, &Tensor::new(Shape::new(1, 96, 96, 3), x).unwrap());
        for (n, o) in m.graph.nodes.iter().zip(&out) {
            let d = o.data();
            let rms = (d.iter().map(|v| (*v as f64).powi(2)).sum::<f64>() / d.len() as f64).sqrt();
            let c = o.shape().c;
            let p = o.shape().pixels();
            let mut sd = 0.0;
            let mut dead = 0;
            for k in 0..c {
                let m = (0..p).map(|i| d[i * c + k] as f64).sum::<f64>() / p as f64;
                let v = (0..p).map(|i| (d[i * c + k] as f64 - m).powi(2)).sum::<f64>() / p as f64;
                sd += v;
                if (0..p).all(|i| d[i * c + k] == 0.0) {
                    dead += 1;
                }
            }
            println!("{} {:.3} spatial sd {:.3} dead {}/{}", n.name, rms, (sd / c as f64).sqrt(), dead, c);
        }
    }
}
