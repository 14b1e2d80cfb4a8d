// dst[p, o] = act(bias[o] + sum over i of src[p, i] * weights[i, o]), runs of at most 32 products summed in Scalar.
// One invocation computes TILE consecutive pixels of four channels; its neighbours take the next channels.

alias Scalar = f32;              // storage, and sums of 32 products; the sum of these is f32
const PIXELS: u32 = 5u;          // of one picture's map
const SRC_C4: u32 = 2u;          // groups of four channels read
const DST_C4: u32 = 3u;          // groups of four channels written
const TILE: u32 = 4u;            // pixels per invocation
const RUN: u32 = 8u;             // groups of four channels that are summed in Scalar
const_assert TILE >= 1u && TILE <= 16u && RUN * 4u <= 32u;
const_assert PIXELS >= 1u && SRC_C4 >= 1u && DST_C4 >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, PIXELS, SRC_C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [SRC_C4, 4, DST_C4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [DST_C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, PIXELS, DST_C4]

fn read_src(picture: u32, pixel: u32, i: u32) -> vec4<Scalar> {
    return src[(picture * PIXELS + pixel) * SRC_C4 + i];
}

fn read_weights(i: u32, lane: u32, o: u32) -> vec4<Scalar> {
    return weights[(i * 4u + lane) * DST_C4 + o];
}

// max(x, 0), the default, of the channels from 4 * c on; NaN passes. Another activation takes its place as a whole.
fn act(x: vec4<f32>, c: u32) -> vec4<f32> {
    let negative = bitcast<vec4<u32>>(x) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u);
    let y = select(x, vec4<f32>(0.0), negative);
    return y;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = (group.y * groups.x + group.x) * 64u + lane;
    let o = id % DST_C4;
    let first = id / DST_C4 * TILE;
    if first >= PIXELS {
        return;
    }
    var sum: array<vec4<f32>, TILE>;
    for (var t = 0u; t < TILE; t++) {
        sum[t] = bias[o];
    }
    for (var begin = 0u; begin < SRC_C4; begin += RUN) {
        var part: array<vec4<Scalar>, TILE>;
        for (var t = 0u; t < TILE; t++) {
            part[t] = vec4<Scalar>();
        }
        for (var i = begin; i < min(begin + RUN, SRC_C4); i++) {
            let w0 = read_weights(i, 0u, o);
            let w1 = read_weights(i, 1u, o);
            let w2 = read_weights(i, 2u, o);
            let w3 = read_weights(i, 3u, o);
            for (var t = 0u; t < TILE; t++) {
                // A tile over the end reads the last pixel again and writes nothing for it.
                let x = read_src(group.z, min(first + t, PIXELS - 1u), i);
                part[t] += x.x * w0 + x.y * w1 + x.z * w2 + x.w * w3;
            }
        }
        for (var t = 0u; t < TILE; t++) {
            sum[t] += vec4<f32>(part[t]);
        }
    }
    for (var t = 0u; t < TILE; t++) {
        if first + t < PIXELS {
            dst[(group.z * PIXELS + first + t) * DST_C4 + o] = vec4<Scalar>(act(sum[t], o));
        }
    }
}
