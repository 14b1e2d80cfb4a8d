// dst[y, x, c] = src between the pixels around (y, x) on the scale of src, or the nearest below: a map of another size.
// One invocation computes four channels of one output; its neighbours take the next channels.

alias Scalar = f32;              // storage; sums are f32
const SRC_H: u32 = 3u;           // rows read
const SRC_W: u32 = 4u;           // columns read
const DST_H: u32 = 7u;           // rows written
const DST_W: u32 = 6u;           // columns written
const C4: u32 = 2u;              // groups of four channels
const NEAREST: bool = false;     // whether the pixel below is taken as it is
const CORNERS: bool = false;     // whether corners stay corners, else pixels are areas
const_assert SRC_H >= 1u && SRC_W >= 1u && DST_H >= 1u && DST_W >= 1u && C4 >= 1u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, SRC_H, SRC_W, C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, DST_H, DST_W, C4]

fn read_src(picture: u32, y: u32, x: u32, c: u32) -> vec4<f32> {
    return vec4<f32>(src[((picture * SRC_H + y) * SRC_W + x) * C4 + c]);
}

// Where output `at` of `dst_len` lies among `src_len`: the place before it, and the share of the one after. Whole numbers
// first, so that no rounding moves a place.
fn place(at: u32, src_len: u32, dst_len: u32) -> vec2<f32> {
    if NEAREST {
        return vec2<f32>(f32(at * src_len / dst_len), 0.0);
    }
    if CORNERS {
        let whole = at * (src_len - 1u);
        let steps = max(dst_len, 2u) - 1u;
        return vec2<f32>(f32(whole / steps), f32(whole % steps) / f32(steps));
    }
    // (at + 0.5) * src_len / dst_len - 0.5, which is 0 at least, in halves of an output.
    let halves = (2u * at + 1u) * src_len;
    let whole = select(halves - dst_len, 0u, halves < dst_len);
    return vec2<f32>(f32(whole / (2u * dst_len)), f32(whole % (2u * dst_len)) / f32(2u * dst_len));
}

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
    let down = place(id / C4 / DST_W, SRC_H, DST_H);
    let across = place(id / C4 % DST_W, SRC_W, DST_W);
    let top = u32(down.x);
    let left = u32(across.x);
    let bottom = min(top + 1u, SRC_H - 1u);
    let right = min(left + 1u, SRC_W - 1u);
    let a = mix(read_src(group.z, top, left, c), read_src(group.z, top, right, c), across.y);
    let b = mix(read_src(group.z, bottom, left, c), read_src(group.z, bottom, right, c), across.y);
    dst[group.z * DST_H * DST_W * C4 + id] = vec4<Scalar>(mix(a, b, down.y));
}
