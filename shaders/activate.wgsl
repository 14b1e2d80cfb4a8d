// dst[p, c] = act(src[p, c]): an activation by itself.
// One invocation computes four channels of one pixel; its neighbours take the next channels.

alias Scalar = f32;              // storage
const PIXELS: u32 = 49u;         // of one picture's map
const C4: u32 = 3u;              // groups of four channels
const_assert PIXELS >= 1u && C4 >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, PIXELS, C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, PIXELS, C4]

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
    let id = (group.y * groups.x + group.x) * 64u + lane;
    if id >= PIXELS * C4 {
        return;
    }
    let at = group.z * PIXELS * C4 + id;
    let x = vec4<f32>(src[at]);
    dst[at] = vec4<Scalar>(act(x, id % C4));
}
