// dst[y, x] = the RGB of pixel (x, y) of `raw`, whatever its layout.
// One invocation computes one pixel. Whole numbers throughout, so that the host's twin agrees byte for byte.

struct Shape {
    width: u32,
    height: u32,
    format: u32, // the host's number of the layout
    // What a step of luma, Cr or Cb adds to a colour, in 1/65536, and the luma of black.
    black: i32,
    luma: i32,
    red_cr: i32,
    green_cb: i32,
    green_cr: i32,
    blue_cb: i32,
}

@group(0) @binding(0) var<storage, read> raw: array<u32>; // bytes, four to a word
@group(0) @binding(1) var dst: texture_storage_2d<rgba8unorm, write>; // [height, width]
@group(0) @binding(2) var<uniform> shape: Shape;

fn byte(at: u32) -> i32 {
    return i32((raw[at / 4u] >> (8u * (at % 4u))) & 255u);
}

fn rgb(y: i32, cb: i32, cr: i32) -> vec3<i32> {
    let b = cb - 128;
    let r = cr - 128;
    let grey = shape.luma * (y - shape.black) + 32768; // halves are rounded up
    let tint = vec3<i32>(shape.red_cr * r, shape.green_cb * b + shape.green_cr * r, shape.blue_cb * b);
    return (vec3<i32>(grey) + tint) >> vec3<u32>(16u);
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= shape.width || id.y >= shape.height {
        return;
    }
    let at = id.y * shape.width + id.x;
    let plane = shape.width * shape.height;
    let half = (shape.width + 1u) / 2u;
    let quarter = (id.y / 2u) * half + id.x / 2u;
    var pixel: vec3<i32>;
    switch shape.format {
        case 0u: { pixel = vec3<i32>(byte(4u * at), byte(4u * at + 1u), byte(4u * at + 2u)); }
        case 1u: { pixel = vec3<i32>(byte(3u * at), byte(3u * at + 1u), byte(3u * at + 2u)); }
        case 2u: { pixel = vec3<i32>(byte(3u * at + 2u), byte(3u * at + 1u), byte(3u * at)); }
        case 3u: { pixel = vec3<i32>(byte(at)); }
        case 4u: {
            let pair = 4u * (id.y * half + id.x / 2u);
            pixel = rgb(byte(pair + 2u * (id.x % 2u)), byte(pair + 1u), byte(pair + 3u));
        }
        case 5u: { pixel = rgb(byte(at), byte(plane + 2u * quarter), byte(plane + 2u * quarter + 1u)); }
        default: {
            let u = plane + quarter;
            pixel = rgb(byte(at), byte(u), byte(u + half * ((shape.height + 1u) / 2u)));
        }
    }
    let clamped = clamp(pixel, vec3<i32>(0), vec3<i32>(255));
    textureStore(dst, id.xy, vec4<f32>(vec3<f32>(clamped) / 255.0, 1.0));
}
