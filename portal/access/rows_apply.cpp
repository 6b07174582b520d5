// How a change enters the rows: by the traits of its table. Apart from rows.cpp, which answers what
// is asked of them and knows no table's traits.
#include "portal/access/account_settings.h"
#include "portal/access/rows.h"
#include "portal/access/table_traits.h"

namespace fatwal::access {
namespace {

// The key of a row that cannot be read, as far as it can.
template <class Row>
std::optional<typename Storage<Row>::Key> key_of(const BadRow& bad) {
    if (!bad.id) return std::nullopt;
    if constexpr (std::is_same_v<typename Storage<Row>::Key, Uuid>) {
        return bad.id;
    } else {
        if (!bad.site) return std::nullopt;
        return std::pair(*bad.id, *bad.site);
    }
}

}  // namespace

template <class Row>
bool Rows::is_ours(const Key<Row>& key) const {
    if constexpr (std::is_same_v<Row, portal::Accounts>)
        return key == account_id_;
    else
        return true;
}

template <class Row>
void Rows::put(const Row& row, Touched& touched) {
    using OfRow = Traits<Row>;
    const Key<Row> key = Storage<Row>::key(row);
    if (!is_ours<Row>(key)) return;
    const auto& stored = Storage<Row>::stored(row);
    if constexpr (std::is_same_v<Row, portal::ActorGroupMemberships>) forget_unread(key, touched);
    if constexpr (std::is_same_v<Row, portal::Accounts>) issues_.settings(ignored_settings(row));
    if constexpr (std::is_same_v<Key<Row>, Uuid>)
        issues_.judge(Row::kTable, key, OfRow::malformed(stored), touched.out->issues);
    auto& rows = table<Row>();
    const auto found = rows.find(key);
    if (found == rows.end()) {
        OfRow::touch(*this, stored, touched);
        OfRow::link(indexes_, stored, true);
        OfRow::came(stored, touched);
        rows.emplace(key, stored);
        return;
    }
    if (OfRow::differs(found->second, stored)) {
        OfRow::touch(*this, found->second, touched);
        OfRow::touch(*this, stored, touched);
    }
    OfRow::changed(found->second, stored, touched);
    OfRow::link(indexes_, found->second, false);
    OfRow::link(indexes_, stored, true);
    found->second = stored;
}

template <class Row>
void Rows::drop_key(const Key<Row>& key, Touched& touched) {
    using OfRow = Traits<Row>;
    if (!is_ours<Row>(key)) return;
    if constexpr (std::is_same_v<Row, portal::ActorGroupMemberships>) forget_unread(key, touched);
    auto& rows = table<Row>();
    const auto found = rows.find(key);
    if (found == rows.end()) return;
    if constexpr (std::is_same_v<Key<Row>, Uuid>) issues_.forget(Row::kTable, key);
    OfRow::touch(*this, found->second, touched);
    OfRow::link(indexes_, found->second, false);
    OfRow::went(found->second, touched);
    rows.erase(found);
}

template <class Row>
void Rows::drop(const Row& row, Touched& touched) {
    const Key<Row> key = Storage<Row>::key(row);
    if (find<Row>(key) == nullptr) Traits<Row>::went(Storage<Row>::stored(row), touched);
    drop_key<Row>(key, touched);
}

void Rows::apply(const RowChange& change, Touched& touched) {
    std::visit(
        [&](const auto& before) {
            using Row = std::decay_t<decltype(before)>;
            if constexpr (!std::is_same_v<Row, std::monostate>) {
                const Row* after = std::get_if<Row>(&change.after);
                if (after == nullptr || Storage<Row>::key(*after) != Storage<Row>::key(before))
                    drop(before, touched);
            }
        },
        change.before);
    std::visit(
        [&](const auto& after) {
            if constexpr (!std::is_same_v<std::decay_t<decltype(after)>, std::monostate>)
                put(after, touched);
        },
        change.after);
}

void Rows::apply_bad(const BadRow& bad, Touched& touched) {
    bool is_found = false;
    DomainRows::for_each([&]<class Row>(std::type_identity<Row>) {
        if (bad.table != Row::kTable) return;
        const auto key = key_of<Row>(bad);
        if (!key) return;
        is_found = true;
        drop_key<Row>(*key, touched);
        if constexpr (std::is_same_v<Row, portal::ActorGroupMemberships>)
            if (!bad.is_gone) keep_unread(bad, touched);
    });
    if (!is_found)
        touched.poisoned_by = "a change of " + bad.table + " cannot be read: " + bad.reason;
}

void Rows::leave_out(const BadRow& bad, Touched& touched) {
    if (bad.table == portal::ActorGroupMemberships::kTable) keep_unread(bad, touched);
}

void Rows::forget_issues_of_missing() {
    issues_.forget_missing([&](std::string_view name, const Uuid& id) {
        bool is_there = false;
        DomainRows::for_each([&]<class Row>(std::type_identity<Row>) {
            if constexpr (std::is_same_v<Key<Row>, Uuid>)
                if (name == Row::kTable) is_there = find<Row>(id) != nullptr;
        });
        return is_there;
    });
}

bool Rows::indexes_match() const {
    Indexes made;
    DomainRows::for_each([&]<class Row>(std::type_identity<Row>) {
        for (const auto& [key, stored] : table<Row>()) Traits<Row>::link(made, stored, true);
    });
    // Of several memberships of an actor in one group any may stand for all.
    for (auto& [pair, others] : made.other_memberships) {
        const auto kept = indexes_.membership_of.find(pair);
        if (kept == indexes_.membership_of.end()) return false;
        others.insert(std::exchange(made.membership_of[pair], kept->second));
        if (others.erase(kept->second) == 0) return false;
    }
    return made == indexes_;
}

}  // namespace fatwal::access
