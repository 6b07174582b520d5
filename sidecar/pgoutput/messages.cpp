#include "sidecar/pgoutput/messages.h"

#include "wire/encoding/row_encoder.h"

namespace fatwal::sidecar::pgoutput {

namespace {

constexpr char kBegin = 'B';
constexpr char kCommit = 'C';
constexpr char kRelation = 'R';
constexpr char kType = 'Y';
constexpr char kInsert = 'I';
constexpr char kUpdate = 'U';
constexpr char kDelete = 'D';
constexpr char kTruncate = 'T';
constexpr char kMessage = 'M';
constexpr char kOrigin = 'O';

// Reads fields in network order. After the first read past the end every read gives nothing, and
// ok() is false.
class Fields {
public:
    explicit Fields(wire::Bytes bytes) : cursor_(bytes), bytes_(bytes) {}

    template <class T>
    T number() {
        T value{};
        for (std::size_t i = 0; i < sizeof(T); ++i)
            value = static_cast<T>(static_cast<std::uint64_t>(value) << 8U |
                                   cursor_.read<std::uint8_t>());
        return value;
    }
    char letter() { return static_cast<char>(cursor_.read<std::uint8_t>()); }
    std::string_view bytes(std::size_t length) { return wire::as_text(cursor_.take(length)); }
    // A text up to its NUL; it has one behind it.
    std::string_view text() {
        const std::string_view left = wire::as_text(bytes_.subspan(cursor_.at()));
        const std::size_t length = left.find('\0');
        if (length == std::string_view::npos) {
            fail();
            return "";
        }
        (void)cursor_.take(length + 1);
        return left.substr(0, length);
    }
    void fail() { (void)cursor_.take(cursor_.left() + 1); }
    [[nodiscard]] bool ok() const { return cursor_.ok(); }
    [[nodiscard]] bool ended() const { return cursor_.ok() && cursor_.left() == 0; }

private:
    wire::Cursor cursor_;
    wire::Bytes bytes_;
};

void read_tuple(Fields& fields, Tuple& tuple) {
    const auto columns = fields.number<std::uint16_t>();
    tuple.clear();
    if (columns > wire::kMaxColumns) return fields.fail();
    for (std::uint16_t i = 0; i < columns && fields.ok(); ++i) {
        switch (fields.letter()) {
            case 'n': tuple.push_back({Field::State::Null, {}}); break;
            case 'u': tuple.push_back({Field::State::Unchanged, {}}); break;
            case 't':
                tuple.push_back({Field::State::Text, fields.bytes(fields.number<std::uint32_t>())});
                break;
            default: fields.fail();
        }
    }
}

Begin read_begin(Fields& fields) {
    Begin begin;
    begin.commit_lsn = fields.number<wire::Lsn>();
    begin.commit_time = fields.number<wire::Microseconds>();
    begin.xid = fields.number<std::uint32_t>();
    return begin;
}

Commit read_commit(Fields& fields) {
    Commit commit;
    (void)fields.number<std::uint8_t>();  // flags: none yet
    commit.commit_lsn = fields.number<wire::Lsn>();
    commit.end_lsn = fields.number<wire::Lsn>();
    (void)fields.number<wire::Microseconds>();
    return commit;
}

Relation read_relation(Fields& fields) {
    Relation relation;
    relation.oid = fields.number<std::uint32_t>();
    relation.schema = fields.text();
    if (relation.schema.empty()) relation.schema = "pg_catalog";
    relation.name = fields.text();
    relation.replica_identity = fields.letter();
    const auto columns = fields.number<std::uint16_t>();
    if (columns > wire::kMaxColumns) fields.fail();
    for (std::uint16_t i = 0; i < columns && fields.ok(); ++i) {
        Relation::Column& column = relation.columns.emplace_back();
        column.identity = (fields.number<std::uint8_t>() & 1U) != 0;
        column.name = fields.text();
        column.type = fields.number<std::uint32_t>();
        column.modifier = fields.number<std::int32_t>();
    }
    return relation;
}

Type read_type(Fields& fields) {
    Type type;
    type.oid = fields.number<std::uint32_t>();
    type.schema = fields.text();
    type.name = fields.text();
    return type;
}

Change read_change(char kind, Fields& fields, Tuples& tuples) {
    Change change{kind, fields.number<std::uint32_t>(), false};
    char part = fields.letter();
    if (kind != kInsert && (part == 'K' || part == 'O')) {
        change.has_old = true;
        read_tuple(fields, tuples.old);
        if (kind == kUpdate) part = fields.letter();
    }
    if (kind == kDelete) {
        if (!change.has_old) fields.fail();
        return change;
    }
    if (part != 'N') fields.fail();
    read_tuple(fields, tuples.newer);
    return change;
}

Truncate read_truncate(Fields& fields) {
    constexpr std::uint8_t kCascade = 1;
    constexpr std::uint8_t kRestartIdentity = 2;
    Truncate truncate;
    const auto relations = fields.number<std::uint32_t>();
    const auto flags = fields.number<std::uint8_t>();
    truncate.cascade = (flags & kCascade) != 0;
    truncate.restart_identity = (flags & kRestartIdentity) != 0;
    for (std::uint32_t i = 0; i < relations && fields.ok(); ++i)
        truncate.relations.push_back(fields.number<std::uint32_t>());
    return truncate;
}

Emitted read_emitted(Fields& fields) {
    Emitted emitted;
    emitted.transactional = (fields.number<std::uint8_t>() & 1U) != 0;
    emitted.lsn = fields.number<wire::Lsn>();
    emitted.prefix = fields.text().data();
    emitted.content = fields.bytes(fields.number<std::uint32_t>());
    return emitted;
}

}  // namespace

std::optional<Message> read_message(wire::Bytes bytes, Tuples& tuples) {
    Fields fields(bytes);
    Message message;
    switch (const char kind = fields.letter()) {
        case kBegin: message = read_begin(fields); break;
        case kCommit: message = read_commit(fields); break;
        case kRelation: message = read_relation(fields); break;
        case kType: message = read_type(fields); break;
        case kInsert:
        case kUpdate:
        case kDelete: message = read_change(kind, fields, tuples); break;
        case kTruncate: message = read_truncate(fields); break;
        case kMessage: message = read_emitted(fields); break;
        case kOrigin:
            (void)fields.number<wire::Lsn>();
            (void)fields.text();
            message = Passed{};
            break;
        default: return std::nullopt;
    }
    if (!fields.ended()) return std::nullopt;
    return message;
}

}  // namespace fatwal::sidecar::pgoutput
