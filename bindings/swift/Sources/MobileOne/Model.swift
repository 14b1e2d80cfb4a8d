import CMobileOne
import Foundation

/// An output by name, and what it is of one picture: a map, or a vector of one row and one column.
public struct Output: Sendable {
    public let name: String
    public let channels: Int
    public let height: Int
    public let width: Int
}

extension Output {
    /// What a C function lists that is asked twice: how many there are, and which.
    static func list(
        _ call: (UnsafeMutablePointer<MobileoneOutputInfo>?, Int, UnsafeMutablePointer<Int>) -> MobileoneStatus
    ) throws -> [Output] {
        var count = 0
        let status = call(nil, 0, &count)
        if status != MOBILEONE_BUFFER_TOO_SMALL { try check(status) }
        if count == 0 { return [] }
        var infos = [MobileoneOutputInfo](repeating: MobileoneOutputInfo(), count: count)
        infos[0].size = UInt32(MemoryLayout<MobileoneOutputInfo>.size)
        try check(infos.withUnsafeMutableBufferPointer { call($0.baseAddress, $0.count, &count) })
        return infos.map { info in
            Output(
                name: text(info.name), channels: Int(info.channels), height: Int(info.height), width: Int(info.width))
        }
    }
}

/// A model, open while this lives.
public final class Model: Sendable {
    let handle: MobileoneModel
    /// The model's name.
    public let name: String
    /// Height, width and channels of an input tensor.
    public let input: (height: Int, width: Int, channels: Int)
    /// The names of the classes, in order.
    public let labels: [String]
    /// What it gives by name, for pictures of its own size.
    public let outputs: [Output]

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
            outputs = try Output.list { mobileone_model_outputs(handle, $0, $1, $2) }
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
