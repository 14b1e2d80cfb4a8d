import SwiftUI

/// ModelBench: how many, how they are trimmed, every sample, and the file of them.
struct BenchView: View {
    @StateObject private var bench: Bench
    @State private var exported: URL?

    init(bench: @autoclosure @escaping () -> Bench) {
        _bench = StateObject(wrappedValue: bench())
    }

    var body: some View {
        NavigationStack {
            Form {
                Section("\(bench.session.model.name) on \(bench.session.deviceName)") {
                    Stepper("\(bench.roundCount) rounds", value: $bench.roundCount, in: 1...50)
                    Stepper("\(bench.inferences) inferences a round", value: $bench.inferences, in: 10...1000, step: 10)
                    Stepper(
                        "\(Int(bench.trim * 100)) % trimmed at both ends", value: $bench.trim, in: 0...0.4, step: 0.05)
                    Button(bench.running ? "Running" : "Run") { Task { await bench.run() } }.disabled(bench.running)
                    if let failure = bench.failure { Text(failure).foregroundColor(.red) }
                }
                Section("Milliseconds: trimmed mean, median, least") {
                    ForEach(bench.rounds) { round in
                        NavigationLink {
                            List(Array(round.samples.enumerated()), id: \.offset) { sample in
                                Text("\(sample.offset + 1): \(sample.element, specifier: "%.3f") ms")
                            }
                            .navigationTitle("Round \(round.id)")
                        } label: {
                            let mean = round.mean(trim: bench.trim)
                            Text(
                                "\(round.id): \(mean, specifier: "%.2f"), \(round.median, specifier: "%.2f"), \(round.least, specifier: "%.2f")"
                            )
                        }
                    }
                }
                if !bench.running, !bench.rounds.isEmpty {
                    Section {
                        Button("Write every sample as CSV") { exported = try? bench.export() }
                        if let exported { ShareLink(item: exported) }
                    }
                }
            }
            .monospacedDigit()
            .navigationTitle("ModelBench")
        }
    }
}
