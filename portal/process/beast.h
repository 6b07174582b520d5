// Boost.Beast, for server.cpp and websocket_link.cpp alone.
#pragma once

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <functional>
#include <memory>

namespace fatwal::process {

class Link;
struct WebSocketOptions;

using HttpRequest = boost::beast::http::request<boost::beast::http::string_body>;

// Accepts the request as a WebSocket: Exchange::open().
void open_websocket(boost::beast::tcp_stream stream, const HttpRequest& request,
                    const WebSocketOptions& options, std::shared_ptr<void> place,
                    std::function<void(std::shared_ptr<Link>)> opened);

}  // namespace fatwal::process
