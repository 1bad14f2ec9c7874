import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import java.io.File;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Reads manifests with Strimzi's own types, and prints the fields that these types do not have. */
public class Check {
    private static final Map<String, String> TYPES =
            Map.of(
                    "Kafka", "io.strimzi.api.kafka.model.kafka.Kafka",
                    "KafkaNodePool", "io.strimzi.api.kafka.model.nodepool.KafkaNodePool",
                    "KafkaUser", "io.strimzi.api.kafka.model.user.KafkaUser");

    public static void main(String[] files) throws Exception {
        ObjectMapper mapper = new ObjectMapper(new YAMLFactory());
        List<String> unknown = new ArrayList<>();
        for (String file : files) {
            for (JsonNode one : mapper.readerFor(JsonNode.class).<JsonNode>readValues(new File(file)).readAll()) {
                String kind = one.get("kind").asText();
                Object read = mapper.treeToValue(one, Class.forName(TYPES.get(kind)));
                new Check(unknown).look(read, file + ": " + kind);
            }
        }
        unknown.forEach(System.out::println);
        System.exit(unknown.isEmpty() ? 0 : 1);
    }

    private final List<String> unknown;
    private final Set<Object> seen = Collections.newSetFromMap(new IdentityHashMap<>());

    private Check(List<String> unknown) {
        this.unknown = unknown;
    }

    private void look(Object value, String path) throws ReflectiveOperationException {
        if (value instanceof Collection<?> many) {
            for (Object one : many) {
                look(one, path);
            }
        } else if (value != null && !(value instanceof Enum) && isModel(value) && seen.add(value)) {
            for (Method method : value.getClass().getMethods()) {
                boolean getter = method.getName().startsWith("get") && method.getParameterCount() == 0;
                if (getter && !Modifier.isStatic(method.getModifiers())) {
                    Object held = method.invoke(value);
                    if (method.getName().equals("getAdditionalProperties")) {
                        ((Map<?, ?>) held).keySet().forEach(name -> unknown.add(path + "." + name));
                    } else {
                        look(held, path + "." + method.getName().substring("get".length()));
                    }
                }
            }
        }
    }

    private static boolean isModel(Object value) {
        String name = value.getClass().getName();
        return name.startsWith("io.strimzi.") || name.startsWith("io.fabric8.");
    }
}
