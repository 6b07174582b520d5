#include "client/cli/control_socket.h"

namespace fatwal::cli {

std::optional<client::Keys> load_keys(const KeyArguments& arguments) {
    if (arguments.server_key.empty()) return std::nullopt;
    return client::Keys::from_file(arguments.key_file, arguments.server_key);
}

zmq::socket_t control_socket(zmq::context_t& context, const std::string& control,
                             const KeyArguments& arguments) {
    zmq::socket_t socket(context, zmq::socket_type::dealer);
    socket.set(zmq::sockopt::linger, 0);
    if (const auto keys = load_keys(arguments)) keys->use_on(socket);
    socket.connect(control);
    return socket;
}

std::string no_reply_from(const std::string& control, const KeyArguments& arguments) {
    std::string text =
        "fatwald does not answer at " + control + ". Is it running, with this --control?";
    if (!arguments.server_key.empty())
        text +=
            " It answers nobody who takes it for another (--server-key), and nobody whose "
            "public key no credential has.";
    return text;
}

}  // namespace fatwal::cli
