// dst[y, x, c] = mean or largest of src[y*STRIDE_H + v*DILATION_H - TOP, x*STRIDE_W + u*DILATION_W - LEFT, c] over v, u.
// One invocation computes four channels of one output; its neighbours take the next channels.

alias Scalar = f32;              // storage; sums are f32
const SRC_H: u32 = 5u;           // rows read
const SRC_W: u32 = 7u;           // columns read
const DST_H: u32 = 3u;           // rows written
const DST_W: u32 = 4u;           // columns written
const C4: u32 = 2u;              // groups of four channels
const KERNEL_H: u32 = 3u;        // rows of the window
const KERNEL_W: u32 = 3u;        // columns of the window
const STRIDE_H: u32 = 2u;        // rows between outputs
const STRIDE_W: u32 = 2u;        // columns between outputs
const DILATION_H: u32 = 1u;      // rows between taps
const DILATION_W: u32 = 1u;      // columns between taps
const TOP: u32 = 1u;             // rows of padding before the map
const LEFT: u32 = 1u;            // columns of padding before the map
const LARGEST: bool = true;      // whether the largest is taken, else the mean
const PADDED: bool = false;      // whether the mean counts padding as zeros, else not at all
const_assert KERNEL_H >= 1u && KERNEL_W >= 1u && STRIDE_H >= 1u && STRIDE_W >= 1u && C4 >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, SRC_H, SRC_W, C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, DST_H, DST_W, C4]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = (group.y * groups.x + group.x) * 64u + lane;
    if id >= DST_H * DST_W * C4 {
        return;
    }
    let c = id % C4;
    let column = id / C4 % DST_W;
    let row = id / C4 / DST_W;
    var sum = vec4<f32>(0.0);
    var largest = vec4<f32>(0.0);
    var count = 0.0;
    for (var v = 0u; v < KERNEL_H; v++) {
        for (var u = 0u; u < KERNEL_W; u++) {
            let y = row * STRIDE_H + v * DILATION_H - TOP;
            let x = column * STRIDE_W + u * DILATION_W - LEFT;
            if (y < SRC_H) & (x < SRC_W) {  // below zero wraps to above
                let value = vec4<f32>(src[((group.z * SRC_H + y) * SRC_W + x) * C4 + c]);
                // NaN stays from where it is found, told by its bits: compilers may assume that it does not occur.
                let nan = (bitcast<vec4<u32>>(value) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
                largest = select(largest, value, vec4<bool>(count == 0.0) | nan | (value > largest));
                sum += value;
                count += 1.0;
            }
        }
    }
    let mean = sum / select(count, f32(KERNEL_H * KERNEL_W), PADDED);
    dst[group.z * DST_H * DST_W * C4 + id] = vec4<Scalar>(select(mean, largest, LARGEST));
}
