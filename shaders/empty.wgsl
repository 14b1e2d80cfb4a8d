// dst[0] = dst[0] + 1: a dispatch that does nothing but wait for the one before it.
// The first invocation counts.

@group(0) @binding(3) var<storage, read_write> dst: array<u32>;  // [1]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x == 0u {
        dst[0] += 1u;
    }
}
