// dst[y, x, c] = act(bias[c] + sum over v, u of src[y*STRIDE + v - PADDING, x*STRIDE + u - PADDING, c] * weights[v, u, c]).
// One invocation computes ROWS x TILE outputs, four channels each; its neighbours take the next channels.

alias Scalar = f32;              // storage; sums are f32
const SRC_H: u32 = 5u;           // rows read
const SRC_W: u32 = 7u;           // columns read
const DST_H: u32 = 3u;           // rows written
const DST_W: u32 = 4u;           // columns written
const C4: u32 = 2u;              // groups of four channels
const KERNEL: u32 = 3u;          // rows and columns of the kernel
const STRIDE: u32 = 2u;          // step between outputs
const PADDING: u32 = 1u;         // zeros around the map
const TILE: u32 = 2u;            // columns of outputs per invocation
const ROWS: u32 = 2u;            // rows of outputs per invocation
const STRIP: u32 = (TILE - 1u) * STRIDE + KERNEL;   // columns that one invocation reads
const HEIGHT: u32 = (ROWS - 1u) * STRIDE + KERNEL;  // rows that one invocation reads
const_assert TILE >= 1u && TILE <= 16u && ROWS >= 1u && ROWS <= 16u;
const_assert STRIDE >= 1u && PADDING < KERNEL;
const_assert DST_H == (SRC_H + 2u * PADDING - KERNEL) / STRIDE + 1u;
const_assert DST_W == (SRC_W + 2u * PADDING - KERNEL) / STRIDE + 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, SRC_H, SRC_W, C4]
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [KERNEL, KERNEL, C4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, DST_H, DST_W, C4]

// Row and column count from the padded corner; what lies in the padding is zero.
fn read_src(picture: u32, row: u32, column: u32, c: u32) -> vec4<f32> {
    let y = row - PADDING;
    let x = column - PADDING;
    if (y >= SRC_H) | (x >= SRC_W) {  // below zero wraps to above
        return vec4<f32>(0.0);
    }
    return vec4<f32>(src[((picture * SRC_H + y) * SRC_W + x) * C4 + c]);
}

fn read_weights(v: u32, u: u32, c: u32) -> vec4<f32> {
    return vec4<f32>(weights[(v * KERNEL + u) * C4 + c]);
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
    let c = id % C4;
    let x = id / C4 % STRIPS * TILE;
    let y = id / C4 / STRIPS * ROWS;
    if y >= DST_H {
        return;
    }
    var w: array<array<vec4<f32>, KERNEL>, KERNEL>;
    for (var v = 0u; v < KERNEL; v++) {
        for (var u = 0u; u < KERNEL; u++) {
            w[v][u] = read_weights(v, u, c);
        }
    }
    var tile: array<array<vec4<f32>, STRIP>, HEIGHT>;
    for (var r = 0u; r < HEIGHT; r++) {
        for (var s = 0u; s < STRIP; s++) {
            tile[r][s] = read_src(group.z, y * STRIDE + r, x * STRIDE + s, c);
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        var sum: array<vec4<f32>, TILE>;
        for (var t = 0u; t < TILE; t++) {
            sum[t] = bias[c];
        }
        for (var v = 0u; v < KERNEL; v++) {
            for (var u = 0u; u < KERNEL; u++) {
                for (var t = 0u; t < TILE; t++) {
                    sum[t] += tile[r * STRIDE + v][t * STRIDE + u] * w[v][u];
                }
            }
        }
        for (var t = 0u; t < TILE; t++) {
            if (y + r < DST_H) & (x + t < DST_W) {
                dst[((group.z * DST_H + y + r) * DST_W + x + t) * C4 + c] = vec4<Scalar>(act(sum[t], c));
            }
        }
    }
}
