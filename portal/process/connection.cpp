#include "portal/process/connection.h"

#include <poll.h>

#include <array>
#include <chrono>
#include <tuple>
#include <utility>

namespace fatwal::process {

namespace {

// A server that is gone is noticed within half a minute, although it says nothing.
constexpr std::array<std::pair<const char*, const char*>, 7> kDefaults = {
    {{"fallback_application_name", "fatwal-channel"},
     {"connect_timeout", "5"},
     {"keepalives", "1"},
     {"keepalives_idle", "10"},
     {"keepalives_interval", "5"},
     {"keepalives_count", "3"},
     {"tcp_user_timeout", "25000"}}};

// For a server that is silent, beyond its own timeout.
constexpr std::chrono::seconds kSilence{2};

// Whatever a role or a database sets: values are read and written in one form, rows can be written,
// and a statement that waits for a lock fails while it can still be tried again.
constexpr char kSession[] =
    "SELECT set_config('client_encoding', 'UTF8', false), set_config('DateStyle', 'ISO, MDY', "
    "false), set_config('IntervalStyle', 'postgres', false), set_config('TimeZone', 'UTC', false), "
    "set_config('bytea_output', 'hex', false), set_config('extra_float_digits', '3', false), "
    "set_config('standard_conforming_strings', 'on', false), "
    "set_config('default_transaction_read_only', 'off', false), "
    "set_config('default_transaction_isolation', 'read committed', false), "
    "set_config('default_transaction_deferrable', 'off', false), "
    "set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false), "
    "set_config('idle_in_transaction_session_timeout', '0', false), "
    "set_config('idle_session_timeout', '0', false)";

}  // namespace

Connection::Connection(const std::string& database, const Limits& limits)
    : answer_within_(limits.statement + kSilence) {
    // What stands before dbname yields to what the connection string says.
    constexpr std::size_t kCount = kDefaults.size();
    std::array<const char*, kCount + 2> names{};
    std::array<const char*, kCount + 2> values{};
    for (std::size_t i = 0; i < kCount; ++i) std::tie(names[i], values[i]) = kDefaults[i];
    names[kCount] = "dbname";
    values[kCount] = database.c_str();
    connection_.reset(PQconnectdbParams(names.data(), values.data(), 1));
    if (!open() || PQsetnonblocking(connection_.get(), 1) != 0)
        throw SqlError("08001", PQerrorMessage(connection_.get()));
    run(kSession, {std::to_string(limits.statement.count()), std::to_string(limits.lock.count())});
}

Connection::Result Connection::run(const std::string& sql, const Parameters& parameters) {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const auto& parameter : parameters)
        values.push_back(parameter ? parameter->c_str() : nullptr);
    begin_wait();
    if (PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                          values.data(), nullptr, nullptr, 0) == 0)
        throw SqlError("08006", PQerrorMessage(connection_.get()));
    Result last;
    // COPY … FROM STDIN has no further result before its lines.
    for (PGresult* raw = next_result(); raw != nullptr; raw = next_result()) {
        last = Result(raw);
        if (PQresultStatus(raw) == PGRES_COPY_IN) break;
    }
    return checked(last.release());
}

void Connection::copy(const std::string& lines) {
    begin_wait();
    const auto put = [&](auto call) {
        int done = 0;
        while ((done = call()) == 0) wait();
        if (done < 0) throw SqlError("08006", PQerrorMessage(connection_.get()));
    };
    put([&] {
        return PQputCopyData(connection_.get(), lines.data(), static_cast<int>(lines.size()));
    });
    put([&] { return PQputCopyEnd(connection_.get(), nullptr); });
    Result copied(next_result());
    while (Result(next_result())) continue;
    checked(copied.release());
}

void Connection::begin_wait() { until_ = std::chrono::steady_clock::now() + answer_within_; }

// Until the server has sent something, or takes more of what it is sent.
void Connection::wait() {
    PGconn* connection = connection_.get();
    const int unsent = PQflush(connection);
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until_ - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
        // What comes later could not be distinguished from the answer to the next statement.
        connection_.reset();
        throw SqlError("08006", "the database gave no answer in time");
    }
    pollfd ready = {PQsocket(connection), POLLIN, 0};
    if (unsent != 0) ready.events |= POLLOUT;
    if (unsent < 0 ||
        (poll(&ready, 1, static_cast<int>(left.count())) > 0 &&
         (ready.revents & (POLLIN | POLLERR | POLLHUP)) != 0 && PQconsumeInput(connection) == 0))
        throw SqlError("08006", PQerrorMessage(connection));
}

PGresult* Connection::next_result() {
    while (PQflush(connection_.get()) != 0 || PQisBusy(connection_.get()) != 0) wait();
    return PQgetResult(connection_.get());
}

Connection::Result Connection::checked(PGresult* raw) {
    Result result(raw);
    const auto status = PQresultStatus(raw);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN)
        return result;
    const char* state = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
    throw SqlError(state == nullptr ? "08006" : state, PQerrorMessage(connection_.get()));
}

}  // namespace fatwal::process
