// Writes the header (enums, structs, AnyRow) and the source (a specification of each table, its
// decoder, the dispatch by table) as text, from top to bottom. What a type is in C++ and what its
// code is called come from the type list (fatwal/wire/type_list.h). The text is laid out as
// clang-format would, so that it can be checked in.
#include "client/cli/cpp_writer.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "client/cli/cpp_names.h"

namespace fatwal::cli {

namespace {

using wire::TypeCode;

constexpr std::size_t kLineLength = 140;

std::string code_name(TypeCode code) {
    return "TypeCode::" + std::string(wire::info_of(code).name);
}

bool is_json(TypeCode code) { return wire::info_of(code).cpp == wire::CppType::Json; }

TypeCode scalar_of(const TableColumn& column) {
    return column.code == TypeCode::Array ? column.element : column.code;
}

// A name that stands for one thing only, with its schema before it when another schema has the
// same.
template <class Named>
std::vector<std::string> type_names(const std::vector<Named>& all, Scope& scope) {
    std::vector<std::string> names;
    for (const Named& named : all) {
        const auto same = std::count_if(all.begin(), all.end(), [&](const Named& other) {
            return camel_case(other.name) == camel_case(named.name);
        });
        names.push_back(scope.unique((same > 1 ? camel_case(named.schema) : std::string()) +
                                     camel_case(named.name)));
    }
    return names;
}

// `before`, the items behind each other by commas, `after`: on as few lines as a line's length
// leaves, each beginning under the first item.
std::string filled(const std::string& before, const std::vector<std::string>& items,
                   const std::string& after) {
    std::string out = before;
    std::size_t line = before.size();
    for (std::size_t i = 0; i < items.size(); ++i) {
        const bool last = i + 1 == items.size();
        const std::size_t length = items[i].size() + (last ? after.size() : 1);
        if (i > 0 && line + 1 + length > kLineLength) {
            out += '\n' + std::string(before.size(), ' ');
            line = before.size();
        } else if (i > 0) {
            out += ' ';
            ++line;
        }
        out += items[i] + (last ? after : ",");
        line += length;
    }
    return out + '\n';
}

class Writer {
public:
    Writer(const Catalog& catalog, const CppOptions& options)
        : catalog_(catalog), options_(options) {
        Scope scope({"AnyRow", "Timestamp", "Uuid"});
        tables_ = type_names(catalog.tables, scope);
        enums_ = type_names(catalog.enums, scope);
        std::set<std::string> taken{"Timestamp", "Uuid", "decode", "kSchema", "kTable"};
        taken.insert(tables_.begin(), tables_.end());
        taken.insert(enums_.begin(), enums_.end());
        for (const Table& table : catalog.tables) {
            Scope fields(taken);
            auto& names = fields_.emplace_back();
            for (const TableColumn& column : table.columns)
                names.push_back(fields.unique(field_name(column.name)));
            uses_json_ = uses_json_ || std::any_of(table.columns.begin(), table.columns.end(),
                                                   [](const TableColumn& column) {
                                                       return is_json(scalar_of(column));
                                                   });
        }
    }

    std::string header() {
        out_ = notice() +
               "#pragma once\n\n#include <cstdint>\n#include <optional>\n#include "
               "<string>\n#include <string_view>\n"
               "#include <variant>\n#include <vector>\n\n";
        if (uses_json_) out_ += "#include <nlohmann/json.hpp>\n\n";
        out_ += "#include \"fatwal/client/typed.h\"\n\nnamespace " + options_.name_space + " {\n\n";
        out_ += "using fatwal::client::Timestamp;\nusing fatwal::client::Uuid;\n\n";
        for (std::size_t i = 0; i < enums_.size(); ++i) declare_enum(i);
        for (std::size_t i = 0; i < tables_.size(); ++i) declare_table(i);
        std::vector<std::string> alternatives{"std::monostate"};
        alternatives.insert(alternatives.end(), tables_.begin(), tables_.end());
        out_ += filled("using AnyRow = std::variant<", alternatives, ">;") + '\n';
        out_ +=
            "// The row as the struct of its table; std::monostate when it has none or cannot be "
            "decoded.\n"
            "[[nodiscard]] AnyRow decode_any(const fatwal::client::Row& row, "
            "fatwal::client::DecodeError* error = nullptr);\n\n"
            "}  // namespace " +
            options_.name_space + '\n';
        return std::move(out_);
    }

    std::string source() {
        out_ = notice() + "#include \"" + options_.header_include +
               "\"\n\n#include <utility>\n\nnamespace " + options_.name_space +
               " {\n\nnamespace {\n\n"
               "namespace typed = fatwal::client::typed;\nusing "
               "fatwal::client::DecodeError;\nusing fatwal::client::Row;\n"
               "using fatwal::client::Schema;\nusing fatwal::wire::TypeCode;\n\n";
        for (std::size_t i = 0; i < enums_.size(); ++i) specify_enum(i);
        for (std::size_t i = 0; i < tables_.size(); ++i) specify_table(i);
        if (uses_json_)
            out_ +=
                "bool parse_json(std::string_view text, nlohmann::json& out) {\n    out = "
                "nlohmann::json::parse(text, nullptr, false);\n"
                "    return !out.is_discarded();\n}\n\n";
        dispatch();
        out_ += "}  // namespace\n\n";
        for (const std::string& name : enums_)
            out_.append("std::string_view to_text(")
                .append(name)
                .append(" value) { return typed::label_of(k")
                .append(name)
                .append("Labels, value); }\n\n");
        for (std::size_t i = 0; i < tables_.size(); ++i) define_decode(i);
        out_ +=
            "AnyRow decode_any(const Row& row, DecodeError* error) {\n    thread_local "
            "typed::ByDescriptor<Decoder> decoders;\n"
            "    return decoders.of(row.schema(), decoder_of)(row, error);\n}\n\n}  // namespace " +
            options_.name_space + '\n';
        return std::move(out_);
    }

private:
    [[nodiscard]] std::string notice() const {
        return "// Written by `fatwal codegen` from the tables of publication " +
               literal(options_.publication) + ". Not to be edited: run it again.\n";
    }

    void declare_enum(std::size_t index) {
        const EnumType& type = catalog_.enums[index];
        out_ += "// " + type.schema + '.' + type.name +
                ". Unknown: a label that was added later.\nenum class " + enums_[index] +
                " : std::uint16_t {\n    Unknown,\n";
        Scope labels({"Unknown"});
        for (const std::string& label : type.labels)
            out_ += "    " + labels.unique(camel_case(label)) + ",\n";
        out_ += "};\n// The label; empty for Unknown.\n[[nodiscard]] std::string_view to_text(" +
                enums_[index] + " value);\n\n";
    }

    void declare_table(std::size_t index) {
        const Table& table = catalog_.tables[index];
        out_ += "struct " + tables_[index] +
                " {\n    static constexpr std::string_view kSchema = " + literal(table.schema) +
                ";\n    static constexpr std::string_view kTable = " + literal(table.name) +
                ";\n\n";
        for (std::size_t i = 0; i < table.columns.size(); ++i)
            out_ += "    " + member_type(table.columns[i]) + ' ' + fields_[index][i] +
                    initial(table.columns[i]) + ";\n";
        out_ +=
            "\n    // Nothing, with the column and the reason in `error`, when a column is not as "
            "it was. From any thread.\n";
        out_ += filled(
            "    [[nodiscard]] static std::optional<" + tables_[index] + "> decode(",
            {"const fatwal::client::Row& row", "fatwal::client::DecodeError* error = nullptr"},
            ");");
        out_ += "    bool operator==(const " + tables_[index] + "&) const = default;\n};\n\n";
    }

    [[nodiscard]] std::string member_type(const TableColumn& column) const {
        std::string type = scalar_type(column);
        if (column.code == TypeCode::Array) type = "std::vector<std::optional<" + type + ">>";
        return column.not_null ? type : "std::optional<" + type + '>';
    }

    [[nodiscard]] std::string scalar_type(const TableColumn& column) const {
        using wire::CppType;
        switch (wire::info_of(scalar_of(column)).cpp) {
            case CppType::Bool: return "bool";
            case CppType::Integer: return "std::int64_t";
            case CppType::Floating: return "double";
            case CppType::String: return "std::string";
            case CppType::Uuid: return "Uuid";
            case CppType::Timestamp: return "Timestamp";
            case CppType::Json: return "nlohmann::json";
            case CppType::Enum: return enums_[column.enum_type];
            case CppType::Array: break;  // scalar_of() is what an array holds
        }
        return {};
    }

    // Of the members that would have no value.
    [[nodiscard]] std::string initial(const TableColumn& column) const {
        if (!column.not_null || column.code == TypeCode::Array) return {};
        const std::string type = scalar_type(column);
        if (type == "bool") return " = false";
        if (type == "std::int64_t" || type == "double") return " = 0";
        return column.code == TypeCode::Enum ? " = " + type + "::Unknown" : std::string();
    }

    void specify_enum(std::size_t index) {
        const std::vector<std::string>& labels = catalog_.enums[index].labels;
        if (labels.empty()) {
            out_ += "constexpr std::span<const std::string_view> k" + enums_[index] + "Labels;\n\n";
            return;
        }
        out_ +=
            "// clang-format off\nconstexpr std::string_view k" + enums_[index] + "Labels[] = {\n";
        for (const std::string& label : labels) out_ += "    " + literal(label) + ",\n";
        out_ += "};\n// clang-format on\n\n";
    }

    void specify_table(std::size_t index) {
        const std::string& name = tables_[index];
        out_ += "// clang-format off\nconstexpr typed::ColumnSpec k" + name + "Columns[] = {\n";
        for (const TableColumn& column : catalog_.tables[index].columns) {
            out_ += "    {" + literal(column.name) + ", " + code_name(column.code);
            const bool is_enum = scalar_of(column) == TypeCode::Enum;
            if (column.code == TypeCode::Array || is_enum) out_ += ", " + code_name(column.element);
            if (is_enum) out_ += ", k" + enums_[column.enum_type] + "Labels";
            out_ += "},\n";
        }
        out_ += "};\n// clang-format on\n";
        out_ += filled("constexpr typed::TableSpec k" + name + "Table{",
                       {name + "::kSchema", name + "::kTable", "k" + name + "Columns"}, "};") +
                '\n';
    }

    void dispatch() {
        out_ +=
            "using Decoder = AnyRow (*)(const Row&, DecodeError*);\n\n"
            "template <class T>\nAnyRow decode_as(const Row& row, DecodeError* error) {\n    auto "
            "decoded = T::decode(row, error);\n"
            "    if (!decoded) return {};\n    return *std::move(decoded);\n}\n\n"
            "AnyRow decode_none(const Row& row, DecodeError* error) {\n    typed::other_table(row, "
            "error);\n    return {};\n}\n\n"
            "Decoder decoder_of(const Schema& schema) {\n";
        for (const std::string& name : tables_)
            out_.append("    if (typed::describes(schema, k")
                .append(name)
                .append("Table)) return decode_as<")
                .append(name)
                .append(">;\n");
        out_ += "    return decode_none;\n}\n\n";
    }

    void define_decode(std::size_t index) {
        const std::string& name = tables_[index];
        out_ += "std::optional<" + name + "> " + name +
                "::decode(const Row& row, DecodeError* error) {\n"
                "    thread_local typed::ByDescriptor<typed::Binding> bindings;\n    typed::Reader "
                "read(row, k" +
                name + "Table, bindings, error);\n    " + name + " out;\n";
        const std::vector<TableColumn>& columns = catalog_.tables[index].columns;
        for (std::size_t i = 0; i < columns.size(); ++i)
            out_ += "    read(out." + fields_[index][i] +
                    (is_json(scalar_of(columns[i])) ? ", parse_json);\n" : ");\n");
        out_ += "    if (!read.ok()) return std::nullopt;\n    return out;\n}\n\n";
    }

    const Catalog& catalog_;
    const CppOptions& options_;
    std::vector<std::string> tables_;
    std::vector<std::string> enums_;
    std::vector<std::vector<std::string>> fields_;
    bool uses_json_ = false;
    std::string out_;
};

}  // namespace

CppCode write_cpp(const Catalog& catalog, const CppOptions& options) {
    Writer writer(catalog, options);
    return {writer.header(), writer.source()};
}

}  // namespace fatwal::cli
