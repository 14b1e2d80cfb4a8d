import CMobileOne
import Foundation

/// A model, open while this lives.
public final class Model: Sendable {
    let handle: MobileoneModel
    /// The model's name.
    public let name: String
    /// Height, width and channels of an input tensor.
    public let input: (height: Int, width: Int, channels: Int)
    /// The names of the classes, in order.
    public let labels: [String]

    /// The built-in model, which reads the digit held up to a camera.
    public static func builtIn() throws -> Model {
        var handle: MobileoneModel = 0
        try check(mobileone_model_builtin(&handle))
        return try Model(handle)
    }

    /// The model in a file: safetensors, or a PyTorch checkpoint.
    public convenience init(contentsOf url: URL) throws {
        var handle: MobileoneModel = 0
        try check(mobileone_model_load(url.path, &handle))
        try self.init(handle)
    }

    /// The model in the bytes of a file.
    public convenience init(data: Data) throws {
        var handle: MobileoneModel = 0
        try data.withUnsafeBytes { bytes in
            let start = bytes.bindMemory(to: UInt8.self).baseAddress
            try check(mobileone_model_from_bytes(start, bytes.count, nil, &handle))
        }
        try self.init(handle)
    }

    private init(_ handle: MobileoneModel) throws {
        var info = MobileoneModelInfo()
        info.size = UInt32(MemoryLayout<MobileoneModelInfo>.size)
        do {
            try check(mobileone_model_info(handle, &info))
            labels = try (0..<info.classes).map { try Model.label(handle, $0) }
        } catch {
            mobileone_model_close(handle)
            throw error
        }
        self.handle = handle
        name = text(info.name)
        input = (Int(info.height), Int(info.width), Int(info.channels))
    }

    deinit {
        mobileone_model_close(handle)
    }

    private static func label(_ handle: MobileoneModel, _ index: UInt32) throws -> String {
        var length = 0
        let status = mobileone_model_label(handle, index, nil, 0, &length)
        if status != MOBILEONE_BUFFER_TOO_SMALL { try check(status) }
        var bytes = [CChar](repeating: 0, count: length + 1)
        try check(mobileone_model_label(handle, index, &bytes, bytes.count, nil))
        return String(cString: bytes)
    }
}
