// dst[p, o] = act(bias[o] + sum over i of act(lift[i] + depthwise(src)[p, i]) * weights[i, o]): a block of two layers.
// One workgroup computes ROWS * TILE consecutive pixels of LANES * GROUPS times four channels: CHUNK groups of the
// depthwise layer's outputs at a time into workgroup memory, and the products from there.

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
const TILE: u32 = 2u;            // pixels per invocation
const GROUPS: u32 = 2u;          // groups of four channels per invocation
const LANES: u32 = 8u;           // invocations along the channels
const CHUNK: u32 = 2u;           // groups of the depthwise layer's outputs at a time
const ROWS: u32 = 64u / LANES;   // invocations along the pixels
const PIXELS: u32 = DST_H * DST_W;
const_assert TILE >= 1u && TILE <= 16u && GROUPS >= 1u && GROUPS <= 8u && LANES * ROWS == 64u && CHUNK >= 1u;
const_assert LANES * GROUPS * 4u >= 32u;  // channels: the depthwise layer is computed again for each workgroup
const_assert STRIDE >= 1u && PADDING < KERNEL;
const_assert DST_H == (SRC_H + 2u * PADDING - KERNEL) / STRIDE + 1u;
const_assert DST_W == (SRC_W + 2u * PADDING - KERNEL) / STRIDE + 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, SRC_H, SRC_W, SRC_C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [SRC_C4, 4, DST_C4], pointwise
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [DST_C4], pointwise
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, DST_H, DST_W, DST_C4]
@group(0) @binding(4) var<storage, read> taps: array<vec4<Scalar>>;       // [KERNEL, KERNEL, SRC_C4], depthwise
@group(0) @binding(5) var<storage, read> lift: array<vec4<f32>>;          // [SRC_C4], depthwise

var<workgroup> middle: array<vec4<Scalar>, CHUNK * ROWS * TILE>;  // [CHUNK, ROWS * TILE]

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

// The depthwise layer's output.
fn depthwise(picture: u32, pixel: u32, i: u32) -> vec4<f32> {
    var sum = lift[i];
    for (var v = 0u; v < KERNEL; v++) {
        for (var u = 0u; u < KERNEL; u++) {
            let x = read_src(picture, pixel / DST_W * STRIDE + v, pixel % DST_W * STRIDE + u, i);
            sum += x * vec4<f32>(taps[(v * KERNEL + u) * SRC_C4 + i]);
        }
    }
    return act_middle(sum, i);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    const OUTS: u32 = LANES * GROUPS;
    const BLOCKS: u32 = (DST_C4 + OUTS - 1u) / OUTS;
    let id = group.y * groups.x + group.x;
    let first = id / BLOCKS * ROWS * TILE;
    let row = lane / LANES;
    let o = id % BLOCKS * OUTS + lane % LANES;
    var sum: array<array<vec4<f32>, TILE>, GROUPS>;
    for (var g = 0u; g < GROUPS; g++) {
        let start = bias[min(o + g * LANES, DST_C4 - 1u)];
        for (var t = 0u; t < TILE; t++) {
            sum[g][t] = start;
        }
    }
    for (var begin = 0u; begin < SRC_C4; begin += CHUNK) {
        workgroupBarrier();
        for (var at = lane; at < CHUNK * ROWS * TILE; at += 64u) {
            // Neighbours take channels side by side; groups behind the last are computed again and not read.
            let i = min(begin + at % CHUNK, SRC_C4 - 1u);
            let value = depthwise(group.z, min(first + at / CHUNK, PIXELS - 1u), i);
            middle[at % CHUNK * ROWS * TILE + at / CHUNK] = vec4<Scalar>(value);
        }
        workgroupBarrier();
        for (var i = begin; i < min(begin + CHUNK, SRC_C4); i++) {
            var x: array<vec4<f32>, TILE>;
            for (var t = 0u; t < TILE; t++) {
                x[t] = vec4<f32>(middle[((i - begin) * TILE + t) * ROWS + row]);
            }
            for (var g = 0u; g < GROUPS; g++) {
                let at = min(o + g * LANES, DST_C4 - 1u);
                let w0 = read_weights(i, 0u, at);
                let w1 = read_weights(i, 1u, at);
                let w2 = read_weights(i, 2u, at);
                let w3 = read_weights(i, 3u, at);
                for (var t = 0u; t < TILE; t++) {
                    sum[g][t] += x[t].x * w0 + x[t].y * w1 + x[t].z * w2 + x[t].w * w3;
                }
            }
        }
    }
    for (var g = 0u; g < GROUPS; g++) {
        for (var t = 0u; t < TILE; t++) {
            let pixel = first + t * ROWS + row;
            if (pixel < PIXELS) & (o + g * LANES < DST_C4) {
                let at = (group.z * PIXELS + pixel) * DST_C4 + o + g * LANES;
                dst[at] = vec4<Scalar>(act(sum[g][t], o + g * LANES));
            }
        }
    }
}
