// Zero-copy views of frames and their records ("Frame" in docs/wire-format.md).
//
//     if (const auto frame = FrameView::parse(bytes))
//         frame->for_each_record([&](const RecordView& record) {
//             if (const auto row = record.new_row()) use(*row);    // with the schema of relation()
//             return true;
//         });
//
// parse() checks each record's bounds once; after that the accessors check nothing, and rows are
// checked when they are asked for. Cost: parse() is linear in the records and touches 16 bytes of
// each, parse_header() is constant. Nothing is copied or allocated, so a view lives as long as its
// bytes; it may be copied and used from any thread. Malformed bytes give nothing, never an
// exception: whatever a peer sends, reading stays inside `bytes` (test/fuzz).
#pragma once

#include <optional>
#include <string_view>

#include "fatwal/wire/account.h"
#include "fatwal/wire/row.h"
#include "fatwal/wire/types.h"

namespace fatwal::wire {

// The kind of a message from the plugin (`F`, `S`), or 0 when it is empty or of another version.
[[nodiscard]] std::uint8_t message_kind(Bytes message) noexcept;

// The length of the first message in `messages`, which one CopyData of the plugin holds one behind
// the other; 0 when it is malformed or cut off. Source: "Messages" in docs/wire-format.md.
[[nodiscard]] std::size_t message_length(Bytes messages) noexcept;

// Takes the first message off `messages`. When its length is malformed it takes all that is left,
// as nothing tells where the next message begins: the reader then refuses that as one malformed
// message, instead of passing over a part of the stream.
[[nodiscard]] Bytes take_message(Bytes& messages) noexcept;

struct Message {
    std::string_view prefix;  // the topic, when emitted by fatwal.emit
    Bytes content;
};

// One record: a change, a message or a resync. Valid as long as the frame's bytes.
class RecordView {
public:
    [[nodiscard]] std::uint32_t ordinal() const noexcept {
        return load<std::uint32_t>(bytes_.data() + record_at::kOrdinal);
    }
    // Index into the frame's relations; kNoRelation for a message, and for a resync of all tables.
    [[nodiscard]] std::uint16_t relation() const noexcept {
        return load<std::uint16_t>(bytes_.data() + record_at::kRelation);
    }
    [[nodiscard]] Op op() const noexcept {
        return static_cast<Op>(load<std::uint8_t>(bytes_.data() + record_at::kOp));
    }
    [[nodiscard]] bool has(RecordFlag flag) const noexcept {
        return (load<std::uint8_t>(bytes_.data() + record_at::kFlags) & flag) != 0;
    }

    // Nothing for an operation without it, and when the row is malformed.
    [[nodiscard]] std::optional<RowView> new_row() const noexcept;
    [[nodiscard]] std::optional<OldRowView> old_row() const noexcept;
    [[nodiscard]] std::optional<Message> message() const noexcept;

    [[nodiscard]] std::size_t length() const noexcept { return bytes_.size(); }

private:
    friend class FrameView;
    explicit RecordView(Bytes bytes) noexcept : bytes_(bytes) {}
    Bytes bytes_;
};

// The changes of one transaction for one account, or a part of them. Valid as long as the bytes it
// was parsed from.
class FrameView {
public:
    // Checks the header, the account, the relations, and the operation and bounds of every record
    // (not the rows in them). Nothing when `bytes` is not one whole frame of this version.
    [[nodiscard]] static std::optional<FrameView> parse(Bytes bytes) noexcept;
    // The same without the walk over the records: enough for whoever only routes the frame.
    [[nodiscard]] static std::optional<FrameView> parse_header(Bytes bytes) noexcept;

    [[nodiscard]] std::uint16_t flags() const noexcept {
        return load<std::uint16_t>(bytes_.data() + frame_at::kFlags);
    }
    [[nodiscard]] bool has(FrameFlag flag) const noexcept { return (flags() & flag) != 0; }
    [[nodiscard]] std::uint32_t xid() const noexcept {
        return load<std::uint32_t>(bytes_.data() + frame_at::kXid);
    }
    [[nodiscard]] Lsn commit_lsn() const noexcept {
        return load<Lsn>(bytes_.data() + frame_at::kCommitLsn);
    }
    [[nodiscard]] Lsn end_lsn() const noexcept {
        return load<Lsn>(bytes_.data() + frame_at::kEndLsn);
    }
    [[nodiscard]] Microseconds commit_time() const noexcept {
        return load<Microseconds>(bytes_.data() + frame_at::kCommitTime);
    }
    [[nodiscard]] std::uint32_t record_count() const noexcept {
        return load<std::uint32_t>(bytes_.data() + frame_at::kRecordCount);
    }
    [[nodiscard]] AccountView account() const noexcept;

    [[nodiscard]] std::uint16_t relation_count() const noexcept {
        return load<std::uint16_t>(bytes_.data() + frame_at::kRelationCount);
    }
    // `index` is below relation_count().
    [[nodiscard]] SchemaId relation(std::uint16_t index) const noexcept;

    // Reads the records in order. Only after parse(). Valid as long as the frame's bytes.
    class Records {
    public:
        explicit Records(const FrameView& frame) noexcept
            : bytes_(frame.bytes_.subspan(frame.records_offset())), left_(frame.record_count()) {}
        // Nothing at the end.
        [[nodiscard]] std::optional<RecordView> next() noexcept {
            if (left_ == 0) return std::nullopt;
            --left_;
            const RecordView record(
                bytes_.first(load<std::uint32_t>(bytes_.data() + record_at::kLength)));
            bytes_ = bytes_.subspan(record.length());
            return record;
        }

    private:
        Bytes bytes_;
        std::uint32_t left_;
    };

    // Calls `visit(RecordView)` for each record in order, until it returns false. Only after
    // parse().
    template <class Visit>
    void for_each_record(Visit&& visit) const {
        Records records(*this);
        while (const auto record = records.next())
            if (!visit(*record)) return;
    }

    [[nodiscard]] Bytes bytes() const noexcept { return bytes_; }

private:
    explicit FrameView(Bytes bytes) noexcept : bytes_(bytes) {}
    [[nodiscard]] std::size_t records_offset() const noexcept;
    [[nodiscard]] std::uint32_t relations_offset() const noexcept {
        return load<std::uint32_t>(bytes_.data() + frame_at::kRelationsOffset);
    }

    Bytes bytes_;
};

}  // namespace fatwal::wire
