// dst[p, c] = exp(src[p, c]) / sum over i of exp(src[p, i]): over the channels of each pixel.
// One workgroup computes ROWS pixels; LANES of its invocations share the channels of each.

alias Scalar = f32;              // storage; sums are f32
const PIXELS: u32 = 5u;          // of one picture's map
const C: u32 = 7u;               // channels
const C4: u32 = 2u;              // groups of four of them
const ROWS: u32 = 8u;            // pixels that a workgroup computes, a power of two
const LANES: u32 = 256u / ROWS;  // invocations that share a pixel
const_assert PIXELS >= 1u && C >= 1u && C4 * 4u >= C && C4 * 4u < C + 4u;
const_assert ROWS >= 1u && ROWS <= 256u && (ROWS & (ROWS - 1u)) == 0u;

@group(0) @binding(0) var<storage, read> src: array<vec4<Scalar>>;        // [batch, PIXELS, C4]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>;  // [batch, PIXELS, C4]

var<workgroup> partial: array<f32, 256>;  // [ROWS, LANES]

// The channels of a group that are none.
fn is_padding(c: u32) -> vec4<bool> {
    return vec4<u32>(c * 4u) + vec4<u32>(0u, 1u, 2u, 3u) >= vec4<u32>(C);
}

// Of the values of all invocations that share a pixel, the same in all of them.
fn largest(lane: u32, x: f32) -> f32 {
    workgroupBarrier();
    partial[lane] = x;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane % LANES < half {
            partial[lane] = max(partial[lane], partial[lane + half]);
        }
    }
    workgroupBarrier();
    return partial[lane / LANES * LANES];
}

fn total(lane: u32, x: f32) -> f32 {
    workgroupBarrier();
    partial[lane] = x;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane % LANES < half {
            partial[lane] += partial[lane + half];
        }
    }
    workgroupBarrier();
    return partial[lane / LANES * LANES];
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let pixel = (group.y * groups.x + group.x) * ROWS + lane / LANES;
    let at = (group.z * PIXELS + min(pixel, PIXELS - 1u)) * C4;
    const LEAST: vec4<f32> = vec4<f32>(-3.4e38);
    var peak = LEAST;
    for (var c = lane % LANES; c < C4; c += LANES) {
        peak = max(peak, select(vec4<f32>(src[at + c]), LEAST, is_padding(c)));
    }
    let top = largest(lane, max(max(peak.x, peak.y), max(peak.z, peak.w)));
    var sum = vec4<f32>(0.0);
    for (var c = lane % LANES; c < C4; c += LANES) {
        sum += select(exp(vec4<f32>(src[at + c]) - top), vec4<f32>(0.0), is_padding(c));
    }
    let whole = total(lane, sum.x + sum.y + sum.z + sum.w);
    if pixel < PIXELS {
        for (var c = lane % LANES; c < C4; c += LANES) {
            let y = exp(vec4<f32>(src[at + c]) - top) / whole;
            dst[at + c] = vec4<Scalar>(select(y, vec4<f32>(0.0), is_padding(c)));
        }
    }
}
