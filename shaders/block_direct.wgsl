// dst[p, o] = act(bias[o] + sum over i of act(lift[i] + depthwise(src)[p, i]) * weights[i, o]): a block of two layers.
// One invocation computes TILE outputs of a row, GROUPS times four channels each, without workgroup memory; its
// neighbours take the next channels.

alias Scalar = f32;              // storage; sums are f32
const SRC_H: u32 = 5u;           // rows read
const SRC_W: u32 = 7u;           // columns read
const DST_H: u32 = 3u;           // rows written
const DST_W: u32 = 4u;           // columns written
const SRC_C4: u32 = 3u;          // groups of four channels read
const DST_C4: u32 = 5u;          // groups of four channels written
const KERNEL: u32 = 3u;          // rows and columns of the kernel
const STRIDE: u32 = 2u;          // step between outputs
const PADDING: u32 = 1u;         // zeros around the map
const TILE: u32 = 2u;            // columns of outputs per invocation
const GROUPS: u32 = 8u;          // groups of four channels per invocation
const STRIP: u32 = (TILE - 1u) * STRIDE + KERNEL;  // columns that one invocation reads
const_assert TILE >= 1u && TILE <= 16u && GROUPS >= 1u && GROUPS <= 16u;
const_assert GROUPS * 4u >= 32u;  // channels: the depthwise layer is computed again for each invocation
const_assert STRIDE >= 1u && PADDING < KERNEL;
const_assert DST_H == (SRC_H + 2u * PADDING - KERNEL) / STRIDE + 1u;
const_assert DST_W == (SRC_W + 2u * PADDING - KERNEL) / STRIDE + 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, SRC_H, SRC_W, SRC_C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [SRC_C4, 4, DST_C4], pointwise
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [DST_C4], pointwise
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, DST_H, DST_W, DST_C4]
@group(0) @binding(4) var<storage, read> taps: array<vec4<Scalar>>;       // [KERNEL, KERNEL, SRC_C4], depthwise
@group(0) @binding(5) var<storage, read> lift: array<vec4<f32>>;          // [SRC_C4], depthwise

// Row and column count from the padded corner; what lies in the padding is zero.
fn read_src(picture: u32, row: u32, column: u32, i: u32) -> vec4<f32> {
    let y = row - PADDING;
    let x = column - PADDING;
    if (y >= SRC_H) | (x >= SRC_W) {  // below zero wraps to above
        return vec4<f32>(0.0);
    }
    return vec4<f32>(src[((picture * SRC_H + y) * SRC_W + x) * SRC_C4 + i]);
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

// The same between the layers.
fn act_middle(x: vec4<f32>, c: u32) -> vec4<f32> {
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
    const STRIPS: u32 = (DST_W + TILE - 1u) / TILE;
    const OUTS: u32 = (DST_C4 + GROUPS - 1u) / GROUPS;
    let id = (group.y * groups.x + group.x) * 64u + lane;
    let o = id % OUTS;
    let column = id / OUTS % STRIPS * TILE;
    let row = id / OUTS / STRIPS;
    if row >= DST_H {
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
        var x: array<vec4<f32>, TILE>;
        for (var t = 0u; t < TILE; t++) {
            x[t] = lift[i];
        }
        for (var v = 0u; v < KERNEL; v++) {
            var strip: array<vec4<f32>, STRIP>;
            for (var s = 0u; s < STRIP; s++) {
                strip[s] = read_src(group.z, row * STRIDE + v, column * STRIDE + s, i);
            }
            for (var u = 0u; u < KERNEL; u++) {
                let tap = vec4<f32>(taps[(v * KERNEL + u) * SRC_C4 + i]);
                for (var t = 0u; t < TILE; t++) {
                    x[t] += strip[t * STRIDE + u] * tap;
                }
            }
        }
        for (var t = 0u; t < TILE; t++) {
            x[t] = act_middle(x[t], i);
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
            if (column + t < DST_W) & (o + g * OUTS < DST_C4) {
                let at = ((group.z * DST_H + row) * DST_W + column + t) * DST_C4 + o + g * OUTS;
                dst[at] = vec4<Scalar>(act(sum[g][t], o + g * OUTS));
            }
        }
    }
}
