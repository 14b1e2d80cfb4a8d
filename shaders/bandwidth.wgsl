// dst[i] = sum over STEPS places of src, or with COPY dst[p] = src[p] at each of them: nothing but traffic.
// One invocation takes a vec4 at each step; neighbours take neighbours, and all of them sweep over src again and again.

const COUNT: u32 = 1024u;        // vec4s of src, a power of two
const STEPS: u32 = 16u;          // of an invocation
const COPY: bool = false;
const_assert COUNT >= 64u && (COUNT & (COUNT - 1u)) == 0u;

@group(0) @binding(0) var<storage, read> src: array<vec4<f32>>;        // [COUNT]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;  // [COUNT]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    // A workgroup more than there are: each sweep begins elsewhere, and no load is that of the step before.
    let stride = (groups.x + 1u) * 64u;
    var at = id.x;
    var sum = vec4<f32>(0.0);
    for (var step = 0u; step < STEPS; step++) {
        let place = at & (COUNT - 1u);
        let value = src[place];
        if COPY {
            dst[place] = value;
        } else {
            sum += value;
        }
        at += stride;
    }
    if !COPY {
        dst[id.x & (COUNT - 1u)] = sum;
    }
}
