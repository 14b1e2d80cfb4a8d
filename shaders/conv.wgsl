// dst[y, x, o] = act(bias[o] + sum over v, u, i of src[y*STRIDE_H + v*DILATION_H - TOP, x*STRIDE_W + u*DILATION_W - LEFT, i] * weights[v, u, i, o]).
// One invocation computes TILE consecutive outputs of a row, four channels each, of any window and any groups.

alias Scalar = f32;              // storage; sums are f32
const SRC_H: u32 = 5u;           // rows read
const SRC_W: u32 = 7u;           // columns read
const SRC_C4: u32 = 2u;          // groups of four channels read
const DST_H: u32 = 3u;           // rows written
const DST_W: u32 = 3u;           // columns written
const DST_C4: u32 = 3u;          // groups of four channels written
const KERNEL_H: u32 = 3u;        // rows of the kernel
const KERNEL_W: u32 = 2u;        // columns of the kernel
const STRIDE_H: u32 = 2u;        // rows between outputs
const STRIDE_W: u32 = 2u;        // columns between outputs
const DILATION_H: u32 = 1u;      // rows between taps
const DILATION_W: u32 = 3u;      // columns between taps
const TOP: u32 = 1u;             // rows of zeros before the map
const LEFT: u32 = 1u;            // columns of zeros before the map
const SRC_EACH: u32 = 8u;        // channels that one group of the convolution reads
const DST_EACH: u32 = 12u;       // channels that it writes
const DEPTH: u32 = 2u;           // groups of four channels that four outputs read at most
const TILE: u32 = 2u;            // columns of outputs per invocation
const_assert TILE >= 1u && TILE <= 16u && DEPTH >= 1u && DEPTH <= SRC_C4;
const_assert STRIDE_H >= 1u && STRIDE_W >= 1u && DILATION_H >= 1u && DILATION_W >= 1u;
const_assert SRC_EACH >= 1u && DST_EACH >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, SRC_H, SRC_W, SRC_C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [KERNEL_H, KERNEL_W, DEPTH, 4, DST_C4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [DST_C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, DST_H, DST_W, DST_C4]

// Row and column count from the padded corner; what lies in the padding is zero.
fn read_src(picture: u32, row: u32, column: u32, i: u32) -> vec4<f32> {
    let y = row - TOP;
    let x = column - LEFT;
    if (y >= SRC_H) | (x >= SRC_W) {  // below zero wraps to above
        return vec4<f32>(0.0);
    }
    return vec4<f32>(src[((picture * SRC_H + y) * SRC_W + x) * SRC_C4 + i]);
}

fn read_weights(tap: u32, d: u32, lane: u32, o: u32) -> vec4<f32> {
    return vec4<f32>(weights[((tap * DEPTH + d) * 4u + lane) * DST_C4 + o]);
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
    const STRIPS: u32 = (DST_W + TILE - 1u) / TILE;
    let id = (group.y * groups.x + group.x) * 64u + lane;
    let o = id % DST_C4;
    let column = id / DST_C4 % STRIPS * TILE;
    let row = id / DST_C4 / STRIPS;
    if row >= DST_H {
        return;
    }
    // The first four channels that these four outputs read; weights of what an output does not read are zeros.
    let first = o * 4u / DST_EACH * SRC_EACH / 4u;
    var sum: array<vec4<f32>, TILE>;
    for (var t = 0u; t < TILE; t++) {
        sum[t] = bias[o];
    }
    for (var tap = 0u; tap < KERNEL_H * KERNEL_W; tap++) {
        let y = row * STRIDE_H + tap / KERNEL_W * DILATION_H;
        let x = column * STRIDE_W + tap % KERNEL_W * DILATION_W;
        for (var d = 0u; d < DEPTH; d++) {
            let w0 = read_weights(tap, d, 0u, o);
            let w1 = read_weights(tap, d, 1u, o);
            let w2 = read_weights(tap, d, 2u, o);
            let w3 = read_weights(tap, d, 3u, o);
            for (var t = 0u; t < TILE; t++) {
                let pixel = read_src(group.z, y, x + t * STRIDE_W, min(first + d, SRC_C4 - 1u));
                sum[t] += pixel.x * w0 + pixel.y * w1 + pixel.z * w2 + pixel.w * w3;
            }
        }
    }
    for (var t = 0u; t < TILE; t++) {
        if column + t < DST_W {
            dst[((group.z * DST_H + row) * DST_W + column + t) * DST_C4 + o] = vec4<Scalar>(act(sum[t], o));
        }
    }
}
