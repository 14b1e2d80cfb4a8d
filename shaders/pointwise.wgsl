// dst[p, o] = act(bias[o] + sum over i of src[p, i] * weights[i, o]): a 1x1 convolution.
// One invocation computes TILE consecutive pixels of GROUPS times four channels; its neighbours take the next channels.

alias Scalar = f32;              // storage; sums are f32
const PIXELS: u32 = 5u;          // of one picture's map
const SRC_C4: u32 = 2u;          // groups of four channels read
const DST_C4: u32 = 3u;          // groups of four channels written
const TILE: u32 = 4u;            // pixels per invocation
const GROUPS: u32 = 2u;          // groups of four channels per invocation
const_assert TILE >= 1u && TILE <= 16u && GROUPS >= 1u && GROUPS <= 8u;
const_assert PIXELS >= 1u && SRC_C4 >= 1u && DST_C4 >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, PIXELS, SRC_C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [SRC_C4, 4, DST_C4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [DST_C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, PIXELS, DST_C4]

fn read_src(picture: u32, pixel: u32, i: u32) -> vec4<f32> {
    return vec4<f32>(src[(picture * PIXELS + pixel) * SRC_C4 + i]);
}

fn read_weights(i: u32, lane: u32, o: u32) -> vec4<f32> {
    return vec4<f32>(weights[(i * 4u + lane) * DST_C4 + o]);
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
    // Group g of an invocation lies OUTS behind group g - 1, so that neighbours read side by side.
    const OUTS: u32 = (DST_C4 + GROUPS - 1u) / GROUPS;
    let id = (group.y * groups.x + group.x) * 64u + lane;
    let o = id % OUTS;
    let first = id / OUTS * TILE;
    if first >= PIXELS {
        return;
    }
    var sum: array<array<vec4<f32>, TILE>, GROUPS>;
    for (var g = 0u; g < GROUPS; g++) {
        let start = bias[min(o + g * OUTS, DST_C4 - 1u)];
        for (var t = 0u; t < TILE; t++) {
            sum[g][t] = start;
        }
    }
    for (var i = 0u; i < SRC_C4; i++) {
        // A tile over the end reads the last pixel or group again and writes nothing for it.
        var x: array<vec4<f32>, TILE>;
        for (var t = 0u; t < TILE; t++) {
            x[t] = read_src(group.z, min(first + t, PIXELS - 1u), i);
        }
        for (var g = 0u; g < GROUPS; g++) {
            let at = min(o + g * OUTS, DST_C4 - 1u);
            let w0 = read_weights(i, 0u, at);
            let w1 = read_weights(i, 1u, at);
            let w2 = read_weights(i, 2u, at);
            let w3 = read_weights(i, 3u, at);
            for (var t = 0u; t < TILE; t++) {
                sum[g][t] += x[t].x * w0 + x[t].y * w1 + x[t].z * w2 + x[t].w * w3;
            }
        }
    }
    for (var g = 0u; g < GROUPS; g++) {
        for (var t = 0u; t < TILE; t++) {
            if (first + t < PIXELS) & (o + g * OUTS < DST_C4) {
                dst[(group.z * PIXELS + first + t) * DST_C4 + o + g * OUTS] = vec4<Scalar>(act(sum[g][t], o + g * OUTS));
            }
        }
    }
}
