# Everything comes from Debian's packages (see tests/packages); nothing is downloaded by the build.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(spdlog REQUIRED IMPORTED_TARGET spdlog)
pkg_check_modules(sqlite REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(pqxx REQUIRED IMPORTED_TARGET libpqxx)
pkg_check_modules(cares REQUIRED IMPORTED_TARGET libcares)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2>=1.52)
pkg_check_modules(openssl REQUIRED IMPORTED_TARGET openssl>=3.0)
if(NOT USHER_FUZZ)
    pkg_check_modules(protobuf REQUIRED IMPORTED_TARGET protobuf)
    pkg_check_modules(grpc REQUIRED IMPORTED_TARGET grpc++)
    pkg_check_modules(icu REQUIRED IMPORTED_TARGET icu-uc icu-i18n)
    pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-cpp)
    find_package(prometheus-cpp REQUIRED COMPONENTS core)
    find_package(date REQUIRED)
    find_program(USHER_PROTOC protoc REQUIRED)
    find_program(USHER_GRPC_PLUGIN grpc_cpp_plugin REQUIRED)
endif()

# Asio is compiled once, in asio.cpp beside this file, instead of into every file that includes it.
add_library(usher_asio STATIC ${CMAKE_SOURCE_DIR}/cmake/asio.cpp)
target_compile_definitions(
    usher_asio PUBLIC BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_REGEX
                      BOOST_ASIO_DISABLE_VISIBILITY)
target_include_directories(usher_asio SYSTEM PUBLIC ${Boost_INCLUDE_DIRS})
target_link_libraries(usher_asio PUBLIC Threads::Threads)
