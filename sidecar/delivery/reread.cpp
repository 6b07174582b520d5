#include "sidecar/delivery/reread.h"

#include <poll.h>

#include <array>
#include <chrono>

#include "fatwal/wire/frame.h"
#include "fatwal/wire/schema.h"
#include "fatwal/wire/text_sink.h"
#include "sidecar/postgres/patience.h"
#include "sidecar/postgres/read_facts.h"
#include "sidecar/postgres/stream.h"

namespace fatwal::sidecar {

namespace {

constexpr std::uint64_t kRereadBytesBetweenSignals = 64 * 1024;
constexpr std::chrono::seconds kStatusInterval{5};
// A server that sends nothing for so long, although it was asked, is taken for lost.
constexpr std::chrono::seconds kSilence{90};
constexpr std::chrono::seconds kRereadStatementDeadline{60};
// Of what the catalogs say of a table; each takes 200 ms.
constexpr int kMostRereadRefusals = 50;

}  // namespace

Reread::Reread(const Settings& settings, const std::set<wire::AccountKey>& accounts, wire::Lsn from,
               wire::Lsn until, const service::Event& event, SpoolBudget& budget)
    : settings_(settings), from_(from), until_(until), event_(event), budget_(budget), done_(from) {
    for (const wire::AccountKey& account : accounts)
        spools_.emplace(account, std::make_unique<Spool>(settings.spool_dir, budget));
    thread_.start("reread", [this](const service::Stop& stop) { read_to_end(stop); });
}

Reread::Progress Reread::progress() const {
    const std::lock_guard lock(mutex_);
    return progress_;
}

void Reread::read_to_end(const service::Stop& stop) {
    std::optional<Failure> failure;
    try {
        // Part of a transaction may be in the files. Another reading begins with new ones.
        if (begun_) throw Failure{"the log was read again in part only", {}, {}, false};
        begun_ = true;
        read(stop);
    } catch (Failure& caught) {
        failure = std::move(caught);
    } catch (const std::exception& error) {
        failure = Failure{"cannot read the log again", error.what(), {}};
    }
    // Reading again would come as far and no further, each time.
    if (failure && failure->out_of_room && transaction_bytes_ >= budget_.most() / 2) {
        failure->fatal = true;
        failure->detail = "One transaction takes " + std::to_string(transaction_bytes_) +
                          " bytes or more. " + failure->detail;
    }
    const std::lock_guard lock(mutex_);
    progress_ = {true, std::move(failure)};
    event_.set();
}

void Reread::read(const service::Stop& stop) {
    const Patience patience(stop.fd(), kRereadStatementDeadline);
    const std::string what = "cannot read the log again";
    Connection connection = connect(settings_, ConnectAs::Replication, what);
    PGconn* server = connection.get();
    const std::string copy =
        (settings_.slot + "_reread").substr(0, 40) + "_" + std::to_string(PQbackendPID(server));
    const Result copied = run(
        server, what,
        "SELECT lsn <= '" + wire::lsn_text(from_) + "' FROM pg_copy_logical_replication_slot(" +
            quote_literal(server, settings_.slot) + ", " + quote_literal(server, copy) + ", true)");
    // Postgres would begin where the slot stands, without a word. It is another fatwald's by now,
    // as this one will find out.
    if (std::string(PQgetvalue(copied.get(), 0, 0)) != "t")
        throw Failure{what, "It is confirmed already.", {}, false};
    (void)run(server, what, start_replication(server, settings_, copy, from_));
    Stream stream(std::move(connection), settings_);
    Connection catalogs;
    int refused = 0;
    auto next_status = std::chrono::steady_clock::now();
    auto heard = next_status;
    std::uint64_t signalled = 0;
    while (done_ < until_) {
        const auto now = std::chrono::steady_clock::now();
        if (now >= next_status) {
            // A server that is alive answers, however long it decodes before it finds something.
            if (!stream.confirm(done_, done_, Stream::Reply::Wanted)) throw stream.failure();
            next_status = now + kStatusInterval;
        }
        if (written_ - signalled >= kRereadBytesBetweenSignals) {
            signalled = written_;
            event_.set();
        }
        auto [message, ended] = stream.next();
        if (ended) throw stream.failure();
        if (const auto* received = std::get_if<PluginMessage>(&message)) {
            append(received->message);
        } else if (const auto* keepalive = std::get_if<Keepalive>(&message)) {
            done_ = std::max(done_, keepalive->wal_end);
            if (keepalive->reply_requested && !stream.confirm(done_, done_)) throw stream.failure();
        } else if (stream.waits_for() != nullptr) {
            if (!catalogs) catalogs = connect(settings_, ConnectAs::Ordinary, what);
            refused = stream.learn(read_facts(catalogs.get(), *stream.waits_for()),
                                   refused == kMostRereadRefusals)
                          ? 0
                          : refused + 1;
        } else {
            std::array<pollfd, 2> wait = {pollfd{stream.fd(), POLLIN, 0},
                                          pollfd{stop.fd(), POLLIN, 0}};
            (void)poll(wait.data(), wait.size(),
                       static_cast<int>(std::chrono::milliseconds(kStatusInterval).count()));
            if (wait[0].revents != 0) heard = std::chrono::steady_clock::now();
            if (std::chrono::steady_clock::now() - heard > kSilence)
                throw Failure{what, "The server went silent.", {}, false};
            if (wait[1].revents != 0) throw Failure{what, "It is stopped.", {}, false};
            if (!stream.read_socket()) throw stream.failure();
        }
    }
}

void Reread::append(wire::Bytes message) {
    if (const auto frame = wire::FrameView::parse_header(message)) {
        if (frame->account().kind == wire::AccountKind::Everyone) {
            append_to_all(message);
        } else if (const auto wanted = spools_.find(frame->account()); wanted != spools_.end()) {
            wanted->second->append(message);
            count(message.size());
        }
        if (frame->has(wire::kLastOfTransaction)) {
            done_ = std::max(done_, frame->end_lsn());
            transaction_bytes_ = 0;
        }
    } else if (wire::SchemaView::parse(message)) {
        append_to_all(message);
    } else {
        throw Failure{"the output plugin sent a message that is not understood", {}, {}};
    }
}

void Reread::append_to_all(wire::Bytes message) {
    for (const auto& [account, spool] : spools_) spool->append(message);
    count(message.size() * spools_.size());
}

void Reread::count(std::uint64_t bytes) {
    written_ += bytes;
    transaction_bytes_ += bytes;
}

}  // namespace fatwal::sidecar
