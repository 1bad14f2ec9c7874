import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.Build;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * One Elasticsearch node from the published jars: {@code java StackNode HOME [setting=value ...]}.
 *
 * <p>The distribution with its launcher is not published as a Maven artifact. This does what the
 * launcher does, without its bootstrap checks, so that it also runs as root on a test machine.
 */
public final class StackNode {
    private StackNode() {}

    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[0]).toAbsolutePath();
        describe(home, "transport-netty4", "org.elasticsearch.transport.netty4.Netty4Plugin");
        describe(home, "stack", "StackPlugin");
        Files.createDirectories(home.resolve("config"));
        configureLogs();
        Settings settings = settings(home, args);
        var environment = InternalSettingsPreparer.prepareEnvironment(
                settings, Map.of(), home.resolve("config"), () -> "stack");
        var bundles = PluginsLoader.loadModulesBundles(environment.modulesDir(), false);
        var loader = PluginsLoader.createPluginsLoader(bundles, Set.of(), Map.of(), false);
        Node node = new Node(environment, loader);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(node)));
        node.start();
        new CountDownLatch(1).await();
    }

    private static Settings settings(Path home, String[] args) {
        Settings.Builder builder = Settings.builder()
                .put("path.home", home)
                .put("discovery.type", "single-node")
                .put("network.host", "127.0.0.1")
                // A developer's disk is often fuller than the watermarks of a server like.
                .put("cluster.routing.allocation.disk.threshold_enabled", false);
        for (int i = 1; i < args.length; i++) {
            String[] setting = args[i].split("=", 2);
            builder.put(setting[0], setting[1]);
        }
        return builder.build();
    }

    private static void configureLogs() {
        LogConfigurator.configureESLogging();
        LogConfigurator.configureWithoutConfig(Settings.builder()
                .put("logger.level", System.getProperty("log", "WARN"))
                // The native libraries are not published; it does without and would warn each time.
                .put("logger.org.elasticsearch.nativeaccess", "ERROR")
                .build());
    }

    /** The descriptor that a plugin's directory must hold and the published jar lacks. */
    private static void describe(Path home, String name, String className) throws IOException {
        Path directory = Files.createDirectories(home.resolve("modules").resolve(name));
        Files.writeString(
                directory.resolve("plugin-descriptor.properties"),
                String.join(
                        "\n",
                        "name=" + name,
                        "description=" + name,
                        "version=1",
                        "classname=" + className,
                        "java.version=21",
                        "elasticsearch.version=" + Build.current().version(),
                        ""));
    }

    private static void close(Node node) {
        try {
            node.prepareForClose();
            node.close();
        } catch (Exception error) {
            error.printStackTrace();
        }
    }
}
