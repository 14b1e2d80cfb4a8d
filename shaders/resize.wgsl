// dst[i] = clamp((sum over t of round(2^22 * w(t)) * src[t] + 2^21) >> 22, 0, 255): PIL's 8-bit resize along one axis.
// One invocation computes one pixel, its four bytes.

const INVOCATIONS: u32 = 64u; // of a workgroup
const ONE: f32 = 4194304.0;   // a weight of 1 in fixed point: 2^BITS
const BITS: u32 = 22u;        // of a weight's fraction

const_assert ONE == f32(1u << BITS);
const_assert BITS <= 22u; // the sum of a line's weights, times 255, stays within i32

// Pixel (x, y) of dst is output `along` of line `across`: (y, x) in a vertical pass, (x, y) in a horizontal one.
struct Pass {
    width: u32,       // of dst
    height: u32,
    vertical: u32,    // 1 or 0
    cubic: u32,       // 1: bicubic, a = -0.5; 0: bilinear
    swap: u32,        // 1: red and blue change places
    origin: i32,      // tap t of line l is src[origin + t * step_along + l * step_across]
    step_along: i32,
    step_across: i32,
    length: u32,      // source pixels along the axis
    resized: u32,     // pixels of the whole resized picture along the axis
    start: u32,       // the first of them that dst holds
    whole: u32,       // its centre in the source: whole + rest / (2 * resized)
    rest: u32,
    grey: u32,        // 1, or 2 where blue comes first: pixels are read as their luma, which PIL calls L
}

@group(0) @binding(0) var<storage, read> src: array<u32>;       // [source pixels], RGBA or BGRA from the low byte up
@group(0) @binding(3) var<storage, read_write> dst: array<u32>; // [height, width], RGBA
@group(0) @binding(4) var<uniform> axis: Pass;

fn load(along: i32, across: i32) -> vec4<i32> {
    let pixel = src[u32(axis.origin + along * axis.step_along + across * axis.step_across)];
    let bytes = vec4<i32>((vec4<u32>(pixel) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
    if axis.grey == 0u { return bytes; }
    let red = select(bytes.zyx, bytes.xyz, axis.grey == 1u);
    return vec4<i32>((red.x * 19595 + red.y * 38470 + red.z * 7471 + 32768) >> 16u, 0, 0, 0);
}

fn weight(distance: f32) -> f32 {
    let x = abs(distance);
    if axis.cubic == 0u { return max(1.0 - x, 0.0); }
    if x < 1.0 { return (1.5 * x - 2.5) * x * x + 1.0; }
    if x < 2.0 { return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5; }
    return 0.0;
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (group.x + group.y * groups.x) * INVOCATIONS + local;
    if index >= axis.width * axis.height { return; }
    let at = vec2<u32>(index % axis.width, index / axis.width);
    let place = select(at, at.yx, axis.vertical == 1u); // (along, across)
    let across = i32(place.y);

    // All positions in units of 1 / (2 * resized) of a source pixel: integers, so that nothing is rounded.
    let resized = i32(axis.resized);
    let unit = 2 * resized;
    let numerator = axis.rest + 2u * axis.length * place.x;
    let whole = i32(axis.whole + numerator / u32(unit)); // the centre is at whole * unit + part
    let part = i32(numerator % u32(unit));
    let stretch = 2 * max(i32(axis.length), resized); // the filter's own unit: never less than a source pixel
    let support = stretch * select(1, 2, axis.cubic == 1u);
    // GL leaves open how negative numbers divide: so many units more keep the dividend above zero.
    let more = support / unit + 1;
    let low = max(whole - more + (part - support + resized + more * unit) / unit, 0);
    let high = min(whole + (part + support + resized) / unit, i32(axis.length));

    var total = 0.0; // never 0 in the end: a tap lies within half a pixel of the centre
    for (var t = low; t < high; t++) {
        total += weight(f32((t - whole) * unit + resized - part) / f32(stretch));
    }
    var sum = vec4<i32>(1 << (BITS - 1u));
    for (var t = low; t < high; t++) {
        let scaled = weight(f32((t - whole) * unit + resized - part) / f32(stretch)) / total * ONE;
        sum += i32(scaled + select(0.5, -0.5, scaled < 0.0)) * load(t, across);
    }

    let pixel = vec4<u32>(clamp(sum >> vec4<u32>(BITS), vec4<i32>(0), vec4<i32>(255)));
    let rgba = select(pixel, pixel.zyxw, axis.swap == 1u);
    dst[index] = rgba.x | (rgba.y << 8u) | (rgba.z << 16u) | (rgba.w << 24u);
}
