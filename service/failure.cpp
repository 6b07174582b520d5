#include "service/failure.h"

#include <string_view>

namespace fatwal::service {

std::string Failure::text() const {
    std::string all = message;
    if (!detail.empty()) all += "\n  detail: " + detail;
    if (!hint.empty()) all += "\n  hint: " + hint;
    return all;
}

std::string Failure::sentences() const {
    std::string all = message;
    for (const std::string& part : {detail, hint}) {
        if (part.empty()) continue;
        if (std::string_view(".?!;:").find(all.back()) == std::string_view::npos) all += '.';
        all += ' ' + part;
    }
    return all;
}

std::string text_of(const std::exception& error) {
    const auto* failure = dynamic_cast<const Failure*>(&error);
    return failure != nullptr ? failure->text() : error.what();
}

}  // namespace fatwal::service
