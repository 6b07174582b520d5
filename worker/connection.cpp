#include "connection.h"

#include <array>

namespace fatwal::worker {

Connection::Connection(const std::string& database) {
    const std::array<const char*, 4> names = {"dbname", "fallback_application_name",
                                              "connect_timeout", nullptr};
    const std::array<const char*, 4> values = {database.c_str(), "fatwal-channel", "5", nullptr};
    connection_.reset(PQconnectdbParams(names.data(), values.data(), 1));
    if (!open()) throw SqlError("08001", PQerrorMessage(connection_.get()));
}

Connection::Result Connection::run(const std::string& sql, const Parameters& parameters) {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const auto& parameter : parameters)
        values.push_back(parameter ? parameter->c_str() : nullptr);
    return checked(PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()),
                                nullptr, values.data(), nullptr, nullptr, 0));
}

void Connection::copy(const std::string& lines) {
    if (PQputCopyData(connection_.get(), lines.data(), static_cast<int>(lines.size())) != 1 ||
        PQputCopyEnd(connection_.get(), nullptr) != 1)
        throw SqlError("08006", PQerrorMessage(connection_.get()));
    checked(PQgetResult(connection_.get()));
    while (Result rest{PQgetResult(connection_.get())}) {
    }
}

Connection::Result Connection::checked(PGresult* raw) {
    Result result(raw);
    const auto status = PQresultStatus(raw);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN)
        return result;
    const char* state = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
    throw SqlError(state == nullptr ? "08006" : state, PQerrorMessage(connection_.get()));
}

std::string plain_array(const std::vector<std::string>& elements) {
    std::string out = "{";
    for (const auto& element : elements) out += (out.size() > 1 ? "," : "") + element;
    return out + '}';
}

}  // namespace fatwal::worker
