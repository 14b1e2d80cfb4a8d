// dst[y, x, o] = act(bias[o] + sum over v, u, i of src[y*STRIDE + v - PADDING, x*STRIDE + u - PADDING, i] * weights[v, u, i, o]).
// One invocation computes TILE consecutive outputs of a row, four channels each; the picture has up to four channels.

alias Scalar = f32;              // storage; sums are f32
const SRC_H: u32 = 5u;           // rows read
const SRC_W: u32 = 7u;           // columns read
const SRC_C: u32 = 3u;           // channels read, three or four: weights of fewer are zeros
const DST_H: u32 = 3u;           // rows written
const DST_W: u32 = 4u;           // columns written
const DST_C4: u32 = 2u;          // groups of four channels written
const KERNEL: u32 = 3u;          // rows and columns of the kernel
const STRIDE: u32 = 2u;          // step between outputs
const PADDING: u32 = 1u;         // zeros around the picture
const TILE: u32 = 2u;            // outputs per invocation
const STRIP: u32 = (TILE - 1u) * STRIDE + KERNEL;  // columns that one invocation reads
const_assert SRC_C == 3u || SRC_C == 4u;
const_assert TILE >= 1u && TILE <= 16u && STRIDE >= 1u && PADDING < KERNEL;
const_assert DST_H == (SRC_H + 2u * PADDING - KERNEL) / STRIDE + 1u;
const_assert DST_W == (SRC_W + 2u * PADDING - KERNEL) / STRIDE + 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, SRC_H, SRC_W], w is padding of three
@group(0) @binding(1) var<storage, read> weights: array<vec4<Scalar>>;    // [KERNEL, KERNEL, SRC_C, DST_C4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;          // [DST_C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, DST_H, DST_W, DST_C4]

// Row and column count from the padded corner; what lies in the padding is zero.
fn read_src(picture: u32, row: u32, column: u32) -> vec4<f32> {
    let y = row - PADDING;
    let x = column - PADDING;
    if (y >= SRC_H) | (x >= SRC_W) {  // below zero wraps to above
        return vec4<f32>(0.0);
    }
    return vec4<f32>(src[(picture * SRC_H + y) * SRC_W + x]);
}

fn read_weights(v: u32, u: u32, i: u32, o: u32) -> vec4<f32> {
    return vec4<f32>(weights[((v * KERNEL + u) * SRC_C + i) * DST_C4 + o]);
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
    let x = id / DST_C4 % STRIPS * TILE;
    let y = id / DST_C4 / STRIPS;
    if y >= DST_H {
        return;
    }
    var sum: array<vec4<f32>, TILE>;
    for (var t = 0u; t < TILE; t++) {
        sum[t] = bias[o];
    }
    for (var v = 0u; v < KERNEL; v++) {
        var w: array<array<vec4<f32>, SRC_C>, KERNEL>;
        for (var u = 0u; u < KERNEL; u++) {
            for (var i = 0u; i < SRC_C; i++) {
                w[u][i] = read_weights(v, u, i, o);
            }
        }
        var strip: array<vec4<f32>, STRIP>;
        for (var s = 0u; s < STRIP; s++) {
            strip[s] = read_src(group.z, y * STRIDE + v, x * STRIDE + s);
        }
        for (var u = 0u; u < KERNEL; u++) {
            for (var t = 0u; t < TILE; t++) {
                let pixel = strip[t * STRIDE + u];
                sum[t] += pixel.x * w[u][0] + pixel.y * w[u][1] + pixel.z * w[u][2];
                if SRC_C == 4u {
                    sum[t] += pixel.w * w[u][SRC_C - 1u];
                }
            }
        }
    }
    for (var t = 0u; t < TILE; t++) {
        if x + t < DST_W {
            dst[((group.z * DST_H + y) * DST_W + x + t) * DST_C4 + o] = vec4<Scalar>(act(sum[t], o));
        }
    }
}
