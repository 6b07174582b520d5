#include "sidecar/pgoutput/snapshot_rows.h"

#include <utility>

namespace fatwal::sidecar::pgoutput {

namespace {

constexpr std::size_t kFrameBytes = 65'536;
constexpr std::size_t kScratchBytes = 4096;
constexpr std::size_t kMostKeptScratchBytes = 1024 * 1024;

// What COPY prints behind a backslash; of others the character itself.
char unescaped(char c) {
    switch (c) {
        case 'b': return '\b';
        case 'f': return '\f';
        case 'n': return '\n';
        case 'r': return '\r';
        case 't': return '\t';
        case 'v': return '\v';
        default: return c;
    }
}

}  // namespace

SnapshotRows::SnapshotRows(wire::AccountView account, wire::Microseconds taken, Emit emit)
    : account_(account), taken_(taken), emit_(std::move(emit)), scratch_(kScratchBytes) {
    frame_.init({});
    frame_.open(account_);
}

void SnapshotRows::begin_table(const Plan& plan) {
    plan_ = &plan;
    schema_is_due_ = true;
}

// Fields are parted by tabs; \N is null. False when they are not as many as the columns.
bool SnapshotRows::split(std::string_view line) {
    fields_.clear();
    text_.clear();
    text_.reserve(line.size());  // so that views of it last
    std::size_t begin = 0;
    bool is_null = false;
    const auto finish = [&] {
        fields_.push_back({is_null ? Field::State::Null : Field::State::Text,
                           std::string_view(text_).substr(begin)});
        begin = text_.size();
        is_null = false;
    };
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (c == '\t') {
            finish();
        } else if (c != '\\' || i + 1 == line.size()) {
            text_ += c;
        } else if (line[++i] == 'N') {
            is_null = true;
        } else {
            text_ += unescaped(line[i]);
        }
    }
    // A table without columns has rows without fields.
    if (plan_->columns > 0) finish();
    return fields_.size() == plan_->columns;
}

SnapshotRows::Read SnapshotRows::row(std::string_view line) {
    if (!split(line)) return Read::Refused;
    if (scratch_.capacity() > kMostKeptScratchBytes) scratch_.release();
    scratch_.truncate(0);
    row_.assign(fields_.size(), {});
    for (std::size_t c = 0; c < fields_.size(); ++c) {
        if (read_cell(row_[c], fields_[c], plan_->column[c].type, scratch_)) continue;
        column_ = c;
        return Read::NotUnderstood;
    }
    const Values values{&row_, &scratch_};
    wire::AccountBuffer buffer;
    if (account_of(*plan_, values, buffer) != account_) return Read::Done;
    // Before the frame that has the table's first row.
    if (std::exchange(schema_is_due_, false)) emit_(plan_->schema_message->bytes());
    const std::size_t record = frame_.start_record(wire::Op::Insert, 0, plan_->schema, ordinal_++);
    wire::encode_new_row(frame_.buffer, record + wire::kMaxRecordBytes, *plan_, values, Values{});
    (void)frame_.finish_record(record);
    if (frame_.is_full(kFrameBytes)) close(wire::kSnapshot);
    return Read::Done;
}

void SnapshotRows::close(std::uint16_t flags) {
    frame_.close({flags, 0, 0, 0, taken_, account_});
    emit_(frame_.buffer.bytes());
    // A frame of one large row must not hold its memory to the end.
    if (frame_.buffer.capacity() > 16 * kFrameBytes) frame_.buffer.release();
    frame_.open(account_);
}

void SnapshotRows::end() { close(wire::kSnapshot | wire::kLastOfAccount); }

}  // namespace fatwal::sidecar::pgoutput
