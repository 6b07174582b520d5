// What a device is shown first. A list that is long goes in pages: the first in init, which has the
// number of the others, and each of them in an init_page behind it.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "portal/access/action.h"

namespace fatwal::access {

class InitPages {
public:
    // `payload` is what init has beside the list, which is called `key` and has `count` entries.
    InitPages(Json payload, std::string key, std::size_t count)
        : payload_(std::move(payload)), key_(std::move(key)), count_(count) {}

    // The next page; `entry(i)` is the i-th of the list. There is at least one, of an empty list.
    template <class Entry>
    [[nodiscard]] Push next(Entry entry) {
        Json list = Json::array();
        const std::size_t end = std::min(count_, (page_ + 1) * kMostOfPage);
        for (std::size_t i = page_ * kMostOfPage; i < end; ++i) list.push_back(entry(i));
        const std::size_t page = page_++;
        if (page > 0) return {"init_page", {{"page", page}, {key_, std::move(list)}}};
        if (others() > 0) payload_["pages"] = others();
        payload_[key_] = std::move(list);
        return {"init", std::move(payload_)};
    }
    [[nodiscard]] bool done() const { return page_ > others(); }

private:
    static constexpr std::size_t kMostOfPage = 1000;
    [[nodiscard]] std::size_t others() const {
        return count_ == 0 ? 0 : (count_ - 1) / kMostOfPage;
    }

    Json payload_;
    std::string key_;
    std::size_t count_;
    std::size_t page_ = 0;
};

}  // namespace fatwal::access
