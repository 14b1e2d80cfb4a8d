// dst[i] = sum of CHAINS series x <- x * a + b, each of STEPS steps: multiply-adds and next to nothing else.
// One invocation computes one vec4; its chains do not depend on each other, so that their latency can hide.

alias Scalar = f32;
const CHAINS: u32 = 4u;       // of an invocation, 1 to 8
const STEPS: u32 = 64u;       // of each chain, a multiple of 4
const FUSED: bool = true;     // by fma(), else by * and +
const_assert CHAINS >= 1u && CHAINS <= 8u && STEPS % 4u == 0u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [2]: a, b
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [INVOCATIONS]

fn step(x: vec4<Scalar>, a: vec4<Scalar>, b: vec4<Scalar>) -> vec4<Scalar> {
    if FUSED {
        return fma(x, a, b);
    }
    return x * a + b;
}

fn four(x: vec4<Scalar>, a: vec4<Scalar>, b: vec4<Scalar>) -> vec4<Scalar> {
    return step(step(step(step(x, a, b), a, b), a, b), a, b);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = src[0];
    let b = src[1];
    // All begin elsewhere, else a compiler could make one of them.
    var x0 = vec4<Scalar>(Scalar(id.x % 7u));
    var x1 = x0 + b;
    var x2 = x1 + b;
    var x3 = x2 + b;
    var x4 = x3 + b;
    var x5 = x4 + b;
    var x6 = x5 + b;
    var x7 = x6 + b;
    for (var at = 0u; at < STEPS; at += 4u) {
        x0 = four(x0, a, b);
        if CHAINS > 1u { x1 = four(x1, a, b); }
        if CHAINS > 2u { x2 = four(x2, a, b); }
        if CHAINS > 3u { x3 = four(x3, a, b); }
        if CHAINS > 4u { x4 = four(x4, a, b); }
        if CHAINS > 5u { x5 = four(x5, a, b); }
        if CHAINS > 6u { x6 = four(x6, a, b); }
        if CHAINS > 7u { x7 = four(x7, a, b); }
    }
    dst[id.x] = ((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7));
}
