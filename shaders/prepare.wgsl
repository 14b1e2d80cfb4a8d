// dst[y, x] = (second(first(src))[y - top, x - left] / 255 - mean) / std: both passes of the resize, and the input.
// One invocation computes one pixel of the input; what the first pass makes of its taps it computes for itself.

alias Scalar = f32;           // of dst
const INVOCATIONS: u32 = 64u; // of a workgroup
const ONE: f32 = 4194304.0;   // a weight of 1 in fixed point: 2^BITS
const BITS: u32 = 22u;        // of a weight's fraction

const_assert ONE == f32(1u << BITS);
const_assert BITS <= 22u; // the sum of a line's weights, times 255, stays within i32

// As in resize.wgsl.
struct Pass {
    width: u32,
    height: u32,
    vertical: u32,
    cubic: u32,
    swap: u32,
    origin: i32,
    step_along: i32,
    step_across: i32,
    length: u32,
    resized: u32,
    start: u32,
    whole: u32,
    rest: u32,
    grey: u32,
}

// As in normalize.wgsl.
struct Normalize {
    width: u32,
    height: u32,
    left: u32,
    top: u32,
    columns: u32,
    rows: u32,
    fill: u32,
    start: u32,
    mean: vec4<f32>,
    deviation: vec4<f32>,
}

@group(0) @binding(0) var<storage, read> src: array<u32>;                // [source pixels], RGBA or BGRA from the low byte up
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<Scalar>>; // [batch, height, width]
@group(0) @binding(4) var<uniform> first: Pass;
@group(0) @binding(5) var<uniform> second: Pass;
@group(0) @binding(6) var<uniform> input: Normalize;

// The taps of one output: from low to high, where the centre lies, the filter's unit, the sum of the weights.
struct Taps {
    low: i32,
    high: i32,
    whole: i32,
    part: i32,
    resized: i32,
    stretch: i32,
    cubic: u32,
    total: f32,
}

fn bytes(pixel: u32) -> vec4<i32> {
    return vec4<i32>((vec4<u32>(pixel) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

// A pixel of the picture, or its luma with zeros beside it.
fn load(address: i32) -> vec4<i32> {
    let pixel = bytes(src[u32(address)]);
    if first.grey == 0u { return pixel; }
    let red = select(pixel.zyx, pixel.xyz, first.grey == 1u);
    return vec4<i32>((red.x * 19595 + red.y * 38470 + red.z * 7471 + 32768) >> 16u, 0, 0, 0);
}

fn filtered(distance: f32, cubic: u32) -> f32 {
    let x = abs(distance);
    if cubic == 0u { return max(1.0 - x, 0.0); }
    if x < 1.0 { return (1.5 * x - 2.5) * x * x + 1.0; }
    if x < 2.0 { return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5; }
    return 0.0;
}

fn weight(taps: Taps, t: i32) -> f32 {
    let distance = (t - taps.whole) * 2 * taps.resized + taps.resized - taps.part;
    return filtered(f32(distance) / f32(taps.stretch), taps.cubic);
}

// A weight in fixed point.
fn fixed(taps: Taps, t: i32) -> i32 {
    let scaled = weight(taps, t) / taps.total * ONE;
    return i32(scaled + select(0.5, -0.5, scaled < 0.0));
}

fn taps_of(axis: Pass, along: u32) -> Taps {
    // As resize.wgsl finds them.
    var taps: Taps;
    taps.cubic = axis.cubic;
    taps.resized = i32(axis.resized);
    let unit = 2 * taps.resized;
    let numerator = axis.rest + 2u * axis.length * along;
    taps.whole = i32(axis.whole + numerator / u32(unit));
    taps.part = i32(numerator % u32(unit));
    taps.stretch = 2 * max(i32(axis.length), taps.resized);
    let support = taps.stretch * select(1, 2, axis.cubic == 1u);
    let more = support / unit + 1;
    taps.low = max(taps.whole - more + (taps.part - support + taps.resized + more * unit) / unit, 0);
    taps.high = min(taps.whole + (taps.part + support + taps.resized) / unit, i32(axis.length));
    for (var t = taps.low; t < taps.high; t++) {
        taps.total += weight(taps, t);
    }
    return taps;
}

fn rounded(sum: vec4<i32>) -> vec4<i32> {
    return clamp(sum >> vec4<u32>(BITS), vec4<i32>(0), vec4<i32>(255));
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (group.x + group.y * groups.x) * INVOCATIONS + local;
    if index >= input.width * input.height { return; }
    // Left of the crop or above it, these wrap round and are no smaller than columns or rows.
    let at = vec2<u32>(index % input.width - input.left, index / input.width - input.top);

    var pixel = bytes(input.fill);
    if (at.x < input.columns) & (at.y < input.rows) {
        let place = select(at, at.yx, second.vertical == 1u); // (along, across) of the second pass
        let outer = taps_of(second, place.x);
        // The first pass runs across the second: all of these taps are its output place.y of other lines.
        let inner = taps_of(first, place.y);
        var sum = vec4<i32>(1 << (BITS - 1u));
        for (var t = outer.low; t < outer.high; t++) {
            let line = second.origin + t * second.step_along + i32(place.y) * second.step_across;
            let across = select(line / i32(first.width), line % i32(first.width), first.vertical == 1u);
            var part = vec4<i32>(1 << (BITS - 1u));
            for (var s = inner.low; s < inner.high; s++) {
                let address = first.origin + s * first.step_along + across * first.step_across;
                part += fixed(inner, s) * load(address);
            }
            sum += fixed(outer, t) * rounded(part);
        }
        pixel = rounded(sum);
        pixel = select(pixel, pixel.zyxw, first.swap == 1u);
    }
    let normal = (vec4<f32>(pixel) / 255.0 - input.mean) / input.deviation;
    dst[input.start + index] = vec4<Scalar>(vec4<f32>(normal.xyz, 0.0));
}
