// dst[p, o] = act(bias[o] + sum over i of src[p, i] * weights[i, o]): a 1x1 convolution.
// One subgroup computes TILE consecutive pixels of LANES times four channels; a lane loads its share of the pixels'
// values and hands them to the others. Its weights lie behind each other: rows that are far apart cost large layers dearly.

alias Scalar = f32;              // storage; sums are f32
const PIXELS: u32 = 5u;          // of one picture's map
const SRC_C4: u32 = 2u;          // groups of four channels read
const DST_C4: u32 = 3u;          // groups of four channels written
const TILE: u32 = 16u;           // pixels per subgroup
const LANES: u32 = 8u;           // of a subgroup, always
const SUBGROUPS: u32 = 8u;       // of a workgroup
const OUTS: u32 = (DST_C4 + LANES - 1u) / LANES;  // times four channels that a subgroup writes
const SHARES: u32 = (TILE + LANES - 1u) / LANES;  // values of one group of channels that a lane loads
const DEPTH: u32 = (LANES + TILE - 1u) / TILE;    // groups of channels that a subgroup loads at once
const_assert TILE >= 1u && TILE <= 32u;
const_assert SHARES * LANES == TILE || DEPTH * TILE == LANES;
const_assert PIXELS >= 1u && SRC_C4 >= 1u && DST_C4 >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, PIXELS, SRC_C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [OUTS, SRC_C4, 4, LANES], padding zero
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [DST_C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, PIXELS, DST_C4]

fn read_src(picture: u32, pixel: u32, i: u32) -> vec4<f32> {
    return vec4<f32>(src[(picture * PIXELS + pixel) * SRC_C4 + i]);
}

fn read_weights(out: u32, i: u32, row: u32, lane: u32) -> vec4<f32> {
    return vec4<f32>(weights[((out * SRC_C4 + i) * 4u + row) * LANES + lane]);
}

// max(x, 0), the default, of the channels from 4 * c on; NaN passes. Another activation takes its place as a whole.
fn act(x: vec4<f32>, c: u32) -> vec4<f32> {
    let negative = bitcast<vec4<u32>>(x) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u);
    let y = select(x, vec4<f32>(0.0), negative);
    return y;
}

@compute @workgroup_size(LANES * SUBGROUPS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Whole subgroups only: those behind the end compute the last pixels again and write nothing.
    let id = (group.y * groups.x + group.x) * SUBGROUPS + subgroup;
    let out = id % OUTS;
    let o = out * LANES + lane;
    let first = id / OUTS * TILE;
    let start = bias[min(o, DST_C4 - 1u)];
    var sum: array<vec4<f32>, TILE>;
    for (var t = 0u; t < TILE; t++) {
        sum[t] = start;
    }
    for (var begin = 0u; begin < SRC_C4; begin += DEPTH) {
        var share: array<vec4<f32>, SHARES>;
        for (var s = 0u; s < SHARES; s++) {
            let pixel = min(first + s * LANES + lane % TILE, PIXELS - 1u);
            share[s] = read_src(group.z, pixel, min(begin + lane / TILE % DEPTH, SRC_C4 - 1u));
        }
        for (var d = 0u; d < DEPTH; d++) {
            let i = begin + d;
            if i < SRC_C4 {
                let w0 = read_weights(out, i, 0u, lane);
                let w1 = read_weights(out, i, 1u, lane);
                let w2 = read_weights(out, i, 2u, lane);
                let w3 = read_weights(out, i, 3u, lane);
                for (var t = 0u; t < TILE; t++) {
                    let x = subgroupShuffle(share[t / LANES], d * TILE + t % LANES);
                    sum[t] += x.x * w0 + x.y * w1 + x.z * w2 + x.w * w3;
                }
            }
        }
    }
    for (var t = 0u; t < TILE; t++) {
        if (first + t < PIXELS) & (o < DST_C4) {
            dst[(group.z * PIXELS + first + t) * DST_C4 + o] = vec4<Scalar>(act(sum[t], o));
        }
    }
}
