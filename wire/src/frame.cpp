#include "fatwal/wire/frame.h"

namespace fatwal::wire {

std::uint8_t message_kind(Bytes message) noexcept {
    if (message.size() < 2 || load<std::uint8_t>(message.data() + message_at::kVersion) != kVersion)
        return 0;
    return load<std::uint8_t>(message.data() + message_at::kKind);
}

std::size_t message_length(Bytes messages) noexcept {
    const std::uint8_t kind = message_kind(messages);
    if (kind != kFrameKind && kind != kSchemaKind) return 0;
    const std::size_t length_at = kind == kFrameKind ? frame_at::kLength : schema_at::kLength;
    if (messages.size() < length_at + sizeof(std::uint32_t)) return 0;
    const std::size_t length = load<std::uint32_t>(messages.data() + length_at);
    return length >= kSchemaHeaderBytes && length <= messages.size() ? length : 0;
}

Bytes take_message(Bytes& messages) noexcept {
    const std::size_t length = message_length(messages);
    const Bytes first = length == 0 ? messages : messages.first(length);
    messages = messages.subspan(first.size());
    return first;
}

std::optional<RowView> RecordView::new_row() const noexcept {
    if (op() != Op::Insert && op() != Op::Update) return std::nullopt;
    return RowView::parse(bytes_.subspan(kRecordHeaderBytes));
}

// A delete has a whole old row, an update a delta against its new one.
std::optional<OldRowView> RecordView::old_row() const noexcept {
    const auto offset = load<std::uint32_t>(bytes_.data() + record_at::kOldOffset);
    if (offset < kRecordHeaderBytes || offset > bytes_.size()) return std::nullopt;
    if (op() != Op::Update && op() != Op::Delete) return std::nullopt;
    const auto old = RowView::parse(bytes_.subspan(offset));
    if (!old) return std::nullopt;
    if (!old->is_delta()) return OldRowView(*old);
    const auto newer = new_row();
    if (!newer || newer->columns() != old->columns()) return std::nullopt;
    return OldRowView(*old, *newer);
}

std::optional<Message> RecordView::message() const noexcept {
    if (op() != Op::Message) return std::nullopt;
    Cursor cursor(bytes_.subspan(kRecordHeaderBytes));
    const auto prefix_length = cursor.read<std::uint32_t>();
    const auto content_length = cursor.read<std::uint32_t>();
    const Bytes prefix = cursor.take(prefix_length);
    const Bytes content = cursor.take(content_length);
    if (!cursor.ok()) return std::nullopt;
    return Message{as_text(prefix), content};
}

std::size_t FrameView::records_offset() const noexcept {
    return kFrameHeaderBytes + align8(load<std::uint8_t>(bytes_.data() + frame_at::kAccountLength));
}

AccountView FrameView::account() const noexcept {
    return {static_cast<AccountKind>(load<std::uint8_t>(bytes_.data() + frame_at::kAccountKind)),
            bytes_.subspan(frame_at::kAccount,
                           load<std::uint8_t>(bytes_.data() + frame_at::kAccountLength))};
}

SchemaId FrameView::relation(std::uint16_t index) const noexcept {
    const std::byte* at =
        bytes_.data() + relations_offset() + kFrameRelationBytes * std::size_t{index};
    return {load<std::uint32_t>(at), load<std::uint32_t>(at + 4)};
}

// The relations end the frame, so their number and place say whether it is whole.
std::optional<FrameView> FrameView::parse_header(Bytes bytes) noexcept {
    if (bytes.size() < kFrameHeaderBytes || message_kind(bytes) != kFrameKind) return std::nullopt;
    const FrameView frame(bytes);
    if (load<std::uint32_t>(bytes.data() + frame_at::kLength) != bytes.size()) return std::nullopt;
    if (!is_valid_account(load<std::uint8_t>(bytes.data() + frame_at::kAccountKind),
                          load<std::uint8_t>(bytes.data() + frame_at::kAccountLength)))
        return std::nullopt;
    const std::size_t relations = frame.relations_offset();
    if (frame.records_offset() > relations || relations > bytes.size()) return std::nullopt;
    if (bytes.size() - relations != kFrameRelationBytes * std::size_t{frame.relation_count()})
        return std::nullopt;
    return frame;
}

std::optional<FrameView> FrameView::parse(Bytes bytes) noexcept {
    const auto frame = parse_header(bytes);
    if (!frame) return std::nullopt;
    std::size_t at = frame->records_offset();
    const std::size_t end = frame->relations_offset();
    for (std::uint32_t i = 0; i < frame->record_count(); ++i) {
        if (end - at < kRecordHeaderBytes) return std::nullopt;
        const auto length = load<std::uint32_t>(bytes.data() + at + record_at::kLength);
        if (length < kRecordHeaderBytes || length % 8 != 0 || length > end - at)
            return std::nullopt;
        const RecordView record(bytes.subspan(at, length));
        if (!is_op(record.op())) return std::nullopt;
        // A message has no relation; a resync may be of all tables; every other record has one.
        const bool may_lack_relation = record.op() == Op::Message || record.op() == Op::Resync;
        const bool has_relation =
            record.relation() < frame->relation_count() && record.op() != Op::Message;
        if (!has_relation && !(may_lack_relation && record.relation() == kNoRelation))
            return std::nullopt;
        at += length;
    }
    return at == end ? frame : std::nullopt;
}

}  // namespace fatwal::wire
