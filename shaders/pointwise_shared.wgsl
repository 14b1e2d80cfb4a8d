// dst[p, o] = act(bias[o] + sum over i of src[p, i] * weights[i, o]): a 1x1 convolution.
// One workgroup computes 8 * TILE pixels of 8 * GROUPS times four channels, CHUNK groups of channels read at a time;
// each of its 8 x 8 invocations computes TILE of the pixels and GROUPS of the groups.

alias Scalar = f32;              // storage; sums are f32
const PIXELS: u32 = 5u;          // of one picture's map
const SRC_C4: u32 = 2u;          // groups of four channels read
const DST_C4: u32 = 3u;          // groups of four channels written
const TILE: u32 = 4u;            // pixels per invocation
const GROUPS: u32 = 2u;          // groups of four channels per invocation
const CHUNK: u32 = 4u;           // groups of four channels read at a time
const ROWS: u32 = 8u * TILE;     // pixels of a workgroup
const OUTS: u32 = 8u * GROUPS;   // groups of four channels of a workgroup
const_assert TILE >= 1u && TILE <= 16u && GROUPS >= 1u && GROUPS <= 8u;
const_assert PIXELS >= 1u && SRC_C4 >= 1u && DST_C4 >= 1u && CHUNK >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, PIXELS, SRC_C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [SRC_C4, 4, DST_C4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [DST_C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, PIXELS, DST_C4]

var<workgroup> xs: array<vec4<Scalar>, CHUNK * ROWS>;       // [CHUNK, ROWS]
var<workgroup> ws: array<vec4<Scalar>, CHUNK * 4u * OUTS>;  // [CHUNK, 4, OUTS]

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
    const BLOCKS: u32 = (DST_C4 + OUTS - 1u) / OUTS;
    let id = group.y * groups.x + group.x;
    let first = id / BLOCKS * ROWS;
    let out = id % BLOCKS * OUTS;
    let column = lane % 8u;
    let row = lane / 8u;
    var sum: array<array<vec4<f32>, TILE>, GROUPS>;
    for (var g = 0u; g < GROUPS; g++) {
        let start = bias[min(out + g * 8u + column, DST_C4 - 1u)];
        for (var t = 0u; t < TILE; t++) {
            sum[g][t] = start;
        }
    }
    for (var begin = 0u; begin < SRC_C4; begin += CHUNK) {
        workgroupBarrier();
        for (var at = lane; at < CHUNK * ROWS; at += 64u) {
            // Channels side by side are read by neighbours; what lies behind the last channel is zero.
            let i = begin + at % CHUNK;
            let pixel = min(first + at / CHUNK, PIXELS - 1u);
            let x = src[(group.z * PIXELS + pixel) * SRC_C4 + min(i, SRC_C4 - 1u)];
            xs[at % CHUNK * ROWS + at / CHUNK] = select(vec4<Scalar>(), x, i < SRC_C4);
        }
        for (var at = lane; at < CHUNK * 4u * OUTS; at += 64u) {
            let i = min(begin * 4u + at / OUTS, SRC_C4 * 4u - 1u);
            ws[at] = weights[i * DST_C4 + min(out + at % OUTS, DST_C4 - 1u)];
        }
        workgroupBarrier();
        for (var i = 0u; i < CHUNK; i++) {
            var x: array<vec4<f32>, TILE>;
            for (var t = 0u; t < TILE; t++) {
                x[t] = vec4<f32>(xs[i * ROWS + t * 8u + row]);
            }
            for (var g = 0u; g < GROUPS; g++) {
                let at = i * 4u * OUTS + g * 8u + column;
                let w0 = vec4<f32>(ws[at]);
                let w1 = vec4<f32>(ws[at + OUTS]);
                let w2 = vec4<f32>(ws[at + 2u * OUTS]);
                let w3 = vec4<f32>(ws[at + 3u * OUTS]);
                for (var t = 0u; t < TILE; t++) {
                    sum[g][t] += x[t].x * w0 + x[t].y * w1 + x[t].z * w2 + x[t].w * w3;
                }
            }
        }
    }
    for (var g = 0u; g < GROUPS; g++) {
        let o = out + g * 8u + column;
        for (var t = 0u; t < TILE; t++) {
            let pixel = first + t * 8u + row;
            if (pixel < PIXELS) & (o < DST_C4) {
                dst[(group.z * PIXELS + pixel) * DST_C4 + o] = vec4<Scalar>(act(sum[g][t], o));
            }
        }
    }
}
