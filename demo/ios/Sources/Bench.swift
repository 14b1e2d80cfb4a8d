import Combine
import CoreVideo
import Foundation
import MobileOne

/// The times of one round, in milliseconds, in the order they were taken.
struct Round: Identifiable {
    let id: Int
    let samples: [Double]

    /// The mean of what is left when this share of the samples is taken off at both ends.
    func mean(trim: Double) -> Double {
        let sorted = samples.sorted()
        let off = min(Int(Double(sorted.count) * trim), max(0, (sorted.count - 1) / 2))
        let kept = sorted.dropFirst(off).dropLast(off)
        return kept.isEmpty ? 0 : kept.reduce(0, +) / Double(kept.count)
    }

    var median: Double { samples.isEmpty ? 0 : samples.sorted()[samples.count / 2] }
    var least: Double { samples.min() ?? 0 }
}

/// ModelBench: rounds of inferences one after the other, every sample kept.
@MainActor
final class Bench: ObservableObject {
    @Published var roundCount = 5
    @Published var inferences = 100
    @Published var trim = 0.1
    @Published private(set) var rounds: [Round] = []
    @Published private(set) var running = false
    @Published private(set) var failure: String?
    let session: Session

    init(session: Session) {
        self.session = session
    }

    func run() async {
        (rounds, failure, running) = ([], nil, true)
        defer { running = false }
        do {
            let picture = try Bench.picture()
            for id in 1...roundCount {
                let (session, inferences) = (session, inferences)
                let samples = try await Task.detached(priority: .userInitiated) {
                    try Bench.samples(session, picture, inferences)
                }.value
                rounds.append(Round(id: id, samples: samples))
            }
        } catch {
            failure = "\(error)"
        }
    }

    /// One line per sample.
    var csv: String {
        let lines = rounds.flatMap { round in
            round.samples.enumerated().map { "\(round.id),\($0.offset + 1),\($0.element)" }
        }
        return (["round,inference,milliseconds"] + lines).joined(separator: "\n") + "\n"
    }

    /// The same in a file, to be shared.
    func export() throws -> URL {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("modelbench.csv")
        try csv.write(to: url, atomically: true, encoding: .utf8)
        return url
    }

    /// Ten inferences that do not count, then those that do.
    private nonisolated static func samples(_ session: Session, _ picture: CVPixelBuffer, _ count: Int) throws -> [Double] {
        var samples: [Double] = []
        samples.reserveCapacity(count)
        for at in -10..<count {
            let begun = DispatchTime.now()
            _ = try session.submit(picture).wait()
            let took = Double(DispatchTime.now().uptimeNanoseconds - begun.uptimeNanoseconds) / 1e6
            if at >= 0 { samples.append(took) }
        }
        return samples
    }

    /// Noise of 640x480.
    private static func picture() throws -> CVPixelBuffer {
        var buffer: CVPixelBuffer?
        CVPixelBufferCreate(nil, 640, 480, kCVPixelFormatType_32BGRA, nil, &buffer)
        guard let buffer else { throw CocoaError(.featureUnsupported) }
        CVPixelBufferLockBaseAddress(buffer, [])
        defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
        let length = CVPixelBufferGetBytesPerRow(buffer) * CVPixelBufferGetHeight(buffer)
        if let bytes = CVPixelBufferGetBaseAddress(buffer)?.assumingMemoryBound(to: UInt8.self) {
            for at in 0..<length { bytes[at] = UInt8(truncatingIfNeeded: at &* at / 7) }
        }
        return buffer
    }
}
