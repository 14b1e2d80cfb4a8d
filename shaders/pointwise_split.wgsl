// dst[p, o] = act(bias[o] + sum over i of src[p, i] * weights[i, o]): a 1x1 convolution of few pixels.
// One workgroup computes TILE consecutive pixels of 64 / PARTS groups of four channels; each of its PARTS rows of
// invocations sums every PARTS-th group of channels read, and the rows' sums meet in workgroup memory.

alias Scalar = f32;              // storage; sums are f32
const PIXELS: u32 = 5u;          // of one picture's map
const SRC_C4: u32 = 2u;          // groups of four channels read
const DST_C4: u32 = 3u;          // groups of four channels written
const TILE: u32 = 4u;            // pixels of a workgroup
const PARTS: u32 = 4u;           // rows of invocations
const LANES: u32 = 64u / PARTS;  // groups of four channels of a workgroup
const_assert TILE >= 1u && TILE <= 16u && PARTS >= 1u && LANES * PARTS == 64u;
const_assert PIXELS >= 1u && SRC_C4 >= 1u && DST_C4 >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, PIXELS, SRC_C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [SRC_C4, 4, DST_C4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [DST_C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, PIXELS, DST_C4]

var<workgroup> partial: array<vec4<f32>, PARTS * TILE * LANES>;  // [PARTS, TILE, LANES]

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
    const OUTS: u32 = (DST_C4 + LANES - 1u) / LANES;
    let id = group.y * groups.x + group.x;
    let column = lane % LANES;
    let row = lane / LANES;
    let o = id % OUTS * LANES + column;
    let at = min(o, DST_C4 - 1u);
    let first = id / OUTS * TILE;
    var sum: array<vec4<f32>, TILE>;
    for (var t = 0u; t < TILE; t++) {
        sum[t] = vec4<f32>();
    }
    for (var i = row; i < SRC_C4; i += PARTS) {
        let w0 = read_weights(i, 0u, at);
        let w1 = read_weights(i, 1u, at);
        let w2 = read_weights(i, 2u, at);
        let w3 = read_weights(i, 3u, at);
        for (var t = 0u; t < TILE; t++) {
            let x = read_src(group.z, min(first + t, PIXELS - 1u), i);
            sum[t] += x.x * w0 + x.y * w1 + x.z * w2 + x.w * w3;
        }
    }
    for (var t = 0u; t < TILE; t++) {
        partial[(row * TILE + t) * LANES + column] = sum[t];
    }
    workgroupBarrier();
    // Each row of invocations ends every PARTS-th pixel.
    for (var t = row; t < TILE; t += PARTS) {
        var total = bias[at];
        for (var part = 0u; part < PARTS; part++) {
            total += partial[(part * TILE + t) * LANES + column];
        }
        if (first + t < PIXELS) & (o < DST_C4) {
            dst[(group.z * PIXELS + first + t) * DST_C4 + o] = vec4<Scalar>(act(total, o));
        }
    }
}
