// Makes the messages of a snapshot of rows as COPY prints them: frames and schemas, as the
// extension's fatwal.snapshot gives them, with rows as the decoder makes them of the stream.
//
//     SnapshotRows rows(account, emit);
//     rows.begin_table(plan);            // for each table
//     rows.row(line);                    // for each of its rows
//     rows.end();                        // the last frame
//
// A frame is closed as soon as it is full, so a row more than `frame_bytes` is the most that is
// held. No I/O.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fatwal/wire/account.h"
#include "fatwal/wire/types.h"
#include "sidecar/pgoutput/plan.h"
#include "sidecar/pgoutput/row.h"
#include "wire/encoding/frame_builder.h"

namespace fatwal::sidecar::pgoutput {

class SnapshotRows {
public:
    using Emit = std::function<void(wire::Bytes)>;

    // `account` outlives it. `taken`: when the snapshot was. The bytes that `emit` gets are valid
    // while it runs.
    SnapshotRows(wire::AccountView account, wire::Microseconds taken, Emit emit);
    ~SnapshotRows() { frame_.free(); }
    SnapshotRows(const SnapshotRows&) = delete;
    SnapshotRows& operator=(const SnapshotRows&) = delete;

    // The rows that follow are those of this plan, which outlives them. Their fields are its
    // columns, in order.
    void begin_table(const Plan& plan);
    // A row in COPY's text form, without the end of its line. A row of another account is passed
    // over: a query may select more than the account's. Refused: it has another number of fields.
    // Otherwise gives the column whose value does not read as its type: with another plan the same
    // row may be given again.
    enum class Read : std::uint8_t { Done, Refused, NotUnderstood };
    [[nodiscard]] Read row(std::string_view line);
    // Behind NotUnderstood.
    [[nodiscard]] std::size_t column() const { return column_; }
    void end();

private:
    bool split(std::string_view line);
    void close(std::uint16_t flags);

    const wire::AccountView account_;
    const wire::Microseconds taken_;
    const Emit emit_;
    const Plan* plan_ = nullptr;
    bool schema_is_due_ = false;
    wire::FrameBuilder<HeapMemory> frame_;
    HeapBuffer scratch_;
    std::string text_;  // of the fields
    Tuple fields_;
    Row row_;
    std::size_t column_ = 0;
    std::uint32_t ordinal_ = 0;
};

}  // namespace fatwal::sidecar::pgoutput
